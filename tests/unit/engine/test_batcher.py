"""What a batcher runs, by example."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.engine.memory_model import PROMPT, Text, batch, spans, text
from worker.engine import batcher


def test_it_needs_neither_torch_nor_numpy() -> None:
    # The package loads torch first of all, so a bare one stands in for it.
    script = f"""
import sys, types
sys.modules.update(torch=None, numpy=None, transformers=None)
package = types.ModuleType("worker.engine")
package.__path__ = [{str(Path(batcher.__file__).parent)!r}]
sys.modules["worker.engine"] = package
from worker.engine.batcher import Batcher
print(Batcher(slots=1, blocks=1, longest=16))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_prompt_is_run_in_one_step_and_its_draws_in_one_each() -> None:
    steps = batch()
    steps.add(text(draws=3))

    assert [spans(steps.step(256)) for _ in range(4)] == [[(0, 40)], [(40, 41)], [(41, 42)], []]
    steps.check_empty()


def test_a_long_prompt_is_run_over_several_steps_and_draws_at_the_last() -> None:
    steps = batch()
    steps.add(text())

    chunks = [steps.step(15)[0] for _ in range(3)]

    assert spans(chunks) == [(0, 15), (15, 30), (30, 40)]
    assert [chunk.draws for chunk in chunks] == [False, False, True]


def test_running_texts_get_their_row_however_many_prompts_wait() -> None:
    steps = batch()
    running = [steps.add(text([seed], draws=30)) for seed in range(3)]
    steps.step(256)
    steps.add(text())

    chunks = steps.step(10)

    assert [chunk.item for chunk in chunks[:3]] == running
    assert spans(chunks) == [(1, 2), (1, 2), (1, 2), (0, 10)]


def test_prompts_share_what_a_step_may_run_in_the_order_they_came() -> None:
    steps = batch()
    for first in (100, 200, 300):
        steps.add(text([first, *PROMPT]))

    assert spans(steps.step(60)) == [(0, 41), (0, 19)]
    assert spans(steps.step(60)) == [(41, 42), (19, 41), (0, 38)]


def test_more_texts_than_slots_wait_their_turn() -> None:
    steps = batch(slots=2)
    first, second, third = (steps.add(text([seed], draws=1 + seed)) for seed in range(3))

    steps.step(256)

    assert (steps.running, steps.waiting) == ([second], [third])  # the first has ended
    assert first.ended
    steps.step(256)
    assert steps.running == [third]


def test_a_text_that_does_not_fit_holds_back_those_behind_it() -> None:
    steps = batch(blocks=4)
    first = steps.add(text([0], draws=30))
    big = steps.add(text([1], draws=60))
    small = steps.add(text([2], draws=1))

    steps.step(256)

    assert (steps.running, steps.waiting) == ([first], [big, small])
    steps.release(first)
    steps.step(256)
    assert (steps.running, steps.waiting) == ([big], [small])


def test_memory_for_all_that_a_text_may_ever_hold_is_reserved_at_once() -> None:
    steps = batch()
    steps.add(Text([0], [1], spare=79))  # 81 tokens at most

    steps.step(256)

    assert steps.batcher.reserved_tokens == 0  # it has ended early
    steps.add(Text([0], [1, 2], spare=78))
    steps.step(256)
    assert steps.batcher.reserved_tokens == 96


@pytest.mark.parametrize("most_tokens", [0, 65, 200])
def test_a_text_that_can_never_run_is_refused(most_tokens: int) -> None:
    steps = batch(blocks=4)

    with pytest.raises(ValueError, match=f"{most_tokens} tokens can never fit"):
        steps.batcher.add(Text([], range(most_tokens)))
    assert len(steps.batcher) == 0


def test_a_text_longer_than_the_longest_is_refused_whatever_memory_there_is() -> None:
    steps = batch(blocks=100)

    with pytest.raises(ValueError, match="129 tokens can never fit"):
        steps.batcher.add(text(range(126)))


def test_an_evicted_text_comes_back_behind_those_that_wait_and_goes_on() -> None:
    steps = batch(slots=1)
    first = steps.add(text(draws=9))
    second = steps.add(text([7], draws=1))
    for _ in range(3):
        steps.step(256)
    steps.evict(first)

    assert steps.waiting == [second, first]
    steps.step(256)
    chunks = steps.step(256)

    # Its 43 tokens lie in two full blocks that are found again, and eleven more.
    assert [(chunk.item, chunk.start, chunk.count, chunk.draws) for chunk in chunks] == [(first, 32, 11, True)]
    assert first.known == 44


def test_an_evicted_text_goes_on_although_its_memory_was_taken() -> None:
    steps = batch(slots=1, blocks=4)
    first = steps.add(text(draws=9))
    steps.add(text(range(500, 560), draws=1))
    steps.step(256)
    steps.evict(first)

    steps.step(256)

    assert spans(steps.step(256)) == [(0, 41)]
    steps.finish(256)


def test_a_waiting_text_is_not_evicted() -> None:
    steps = batch(slots=1)
    steps.add(text(draws=9))
    waits = steps.add(text())
    steps.step(256)

    assert not steps.batcher.evict(waits)


def test_what_is_neither_running_nor_waiting_is_not_released() -> None:
    steps = batch()
    item = steps.add(text())
    equal_but_another = text()

    assert not steps.batcher.release(equal_but_another)
    assert steps.batcher.release(item)
    assert not steps.batcher.release(item)


def test_clearing_returns_everything_and_frees_its_memory() -> None:
    steps = batch(slots=2)
    items = [steps.add(text([seed])) for seed in range(4)]
    steps.step(256)

    assert steps.batcher.clear() == items
    steps.check_empty()


def test_with_lookahead_a_step_runs_the_token_whose_draw_is_under_way() -> None:
    steps = batch(lookahead=True)
    steps.add(text(draws=4))

    assert [spans(steps.step(256)) for _ in range(5)] == [[(0, 40)], [(40, 41)], [(41, 42)], [(42, 43)], []]


def test_with_lookahead_a_text_that_does_not_go_on_blind_waits_for_its_token() -> None:
    steps = batch(lookahead=True)
    steps.add(text(draws=3, blind=False))

    assert [spans(steps.step(256)) for _ in range(6)] == [[(0, 40)], [], [(40, 41)], [], [(41, 42)], []]


def test_with_lookahead_nothing_is_run_beyond_the_most_tokens() -> None:
    steps = batch(lookahead=True)
    steps.add(Text(PROMPT, [1], spare=0))
    steps.add(Text(PROMPT, [1], spare=1))

    steps.step(256)

    # Both end with the draw that is under way; only one might have gone on.
    assert spans(steps.step(256)) == [(40, 41)]
