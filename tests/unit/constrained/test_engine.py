"""Forms in the engine: in company, cut off and taken up again, evicted, and in several draws."""

from pathlib import Path

import pytest

from bench.forms.checker import check_chinese, check_english
from quire.forms import tokens_needed
from quire.rules import Rules
from quire.settings import REPOSITORY
from tests.unit.constrained.vocabularies import rules_for
from tests.unit.engine.asking import Answer, assert_same, finish, run, submit
from worker.creative.constrained.making import Constraints, vocabulary_of
from worker.engine import Engine, Request, Sampling
from worker.engine.loading import LoadedModel, load_model

SHIPPED: Path = REPOSITORY / "checkpoints/quire-verse"
RULES = {
    "五绝": rules_for("五绝"),
    "couplets": rules_for("poem", lines=4, stanza=2, rhyme="AA", syllables=6),
    "lines": rules_for("poem", lines=3),
}


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(str(SHIPPED), kv_blocks=256, device="cpu", threads=1)


@pytest.fixture
def engine(loaded: LoadedModel) -> Engine:
    return Engine(loaded, slots=8)


@pytest.fixture(scope="module")
def constraints(loaded: LoadedModel) -> Constraints:
    return Constraints(vocabulary_of(Engine(loaded, slots=1)))


def ask(
    engine: Engine, constraints: Constraints, rules: Rules, *, generated: tuple[int, ...] = (), **sampling: object
) -> Request:
    most = tokens_needed(rules)
    return Request(
        prompt=tuple(engine.tokenizer.encode("The Moon\n\n")),
        sampling=Sampling(**{"seed": 5, "max_tokens": most, **sampling}),
        generated=generated,
        constraint=constraints.of(rules, most),
    )


def meets(name: str, answer: Answer) -> bool:
    if name == "五绝":
        return check_chinese(answer.text, lines=4, characters=5, rhymed=True).met
    if name == "couplets":
        return check_english(answer.text, lines=4, stanza=2, scheme="AA", syllables=(6,)).met
    return check_english(answer.text, lines=3, stanza=3).met


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"top_k": 3, "repetition_penalty": 1.3}], ids=str)
def test_every_draw_meets_the_form_and_ends_by_itself(
    engine: Engine, constraints: Constraints, name: str, settings: dict[str, object]
) -> None:
    requests = [ask(engine, constraints, RULES[name], sample=sample, **settings) for sample in range(3)]

    answers = run(engine, requests)

    for answer in answers:
        assert meets(name, answer), answer.text
        assert answer.finished.reason == "stop"


@pytest.mark.parametrize("name", RULES)
def test_a_text_cut_off_anywhere_goes_on_to_the_same_end(
    engine: Engine, constraints: Constraints, name: str
) -> None:
    [whole] = run(engine, [ask(engine, constraints, RULES[name])])

    for taken in range(0, len(whole.tokens), 3):
        begun = tuple(whole.tokens[:taken])
        [rest] = run(engine, [ask(engine, constraints, RULES[name], generated=begun)])
        assert [*begun, *rest.tokens] == whole.tokens


@pytest.mark.parametrize("name", RULES)
def test_company_and_eviction_change_nothing(engine: Engine, constraints: Constraints, name: str) -> None:
    [alone] = run(engine, [ask(engine, constraints, RULES[name])])
    others = [ask(engine, constraints, rules, seed=7) for rules in RULES.values()]
    answer = submit(engine, ask(engine, constraints, RULES[name]))
    company = [submit(engine, other) for other in others]

    finish(engine, [answer, *company], lambda step: engine.evict(answer.future) if step % 5 == 4 else None)

    assert engine.stats().evictions > 1
    assert_same([answer], [alone])
