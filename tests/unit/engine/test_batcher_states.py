"""Whatever is done to a batcher, in whatever order; `memory_model.Steps` says what must hold after each step."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.unit.engine.memory_model import Steps, Text

LONGEST = 96
# Texts of few tokens and lengths about the size of a block begin alike, and one's draws are another's prompt.
LENGTHS = st.sampled_from([0, 1, 7, 15, 16, 17, 31, 32, 33, 48])
TOKENS = st.integers(0, 1)
DRAWN = st.lists(TOKENS, min_size=1, max_size=4) | st.just([0] * 20)
PICKS = st.integers(0, 7)


class BatcherMachine(RuleBasedStateMachine):
    @initialize(slots=st.integers(1, 5), blocks=st.integers(6, 16), lookahead=st.booleans())
    def make(self, slots: int, blocks: int, lookahead: bool) -> None:
        self.steps = Steps(slots=slots, blocks=blocks, longest=LONGEST, lookahead=lookahead)

    @rule(
        lengths=st.tuples(LENGTHS, LENGTHS),
        drawn=DRAWN,
        first=TOKENS,
        scope=st.sampled_from(["", "", "another"]),
        spare=st.sampled_from([0, 0, 1, 20]),
        blind=st.booleans(),
    )
    def add(
        self, lengths: tuple[int, int], drawn: list[int], first: int, scope: str, spare: int, blind: bool
    ) -> None:
        prompt = ([first] * lengths[0] + [1 - first] * lengths[1] or [first])[: LONGEST - len(drawn) - spare]
        self.steps.add(Text(prompt, drawn, scope=scope, spare=spare, blind=blind))

    @precondition(lambda self: self.steps.texts)
    @rule(pick=PICKS, drawn=DRAWN)
    def add_another_of_the_same_prompt(self, pick: int, drawn: list[int]) -> None:
        text = self.steps.texts[pick % len(self.steps.texts)]
        self.steps.add(Text(text.tokens[: LONGEST - len(drawn)], drawn, scope=text.scope))

    @rule(prompt_tokens=st.sampled_from([1, 8, 16, 20, 30, 256]))
    def step(self, prompt_tokens: int) -> None:
        self.steps.step(prompt_tokens)

    @precondition(lambda self: self.steps.texts)
    @rule(pick=PICKS)
    def release(self, pick: int) -> None:
        self.steps.release(self.steps.texts[pick % len(self.steps.texts)])

    @precondition(lambda self: self.steps.texts)
    @rule(pick=PICKS)
    def evict(self, pick: int) -> None:
        self.steps.evict(self.steps.texts[pick % len(self.steps.texts)])

    def teardown(self) -> None:
        self.steps.finish(prompt_tokens=16)


TestBatcher = BatcherMachine.TestCase
TestBatcher.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
