"""All orders of few things, in blocks of two tokens; `memory_model.Steps` says what must hold after each step."""

from collections.abc import Callable
from itertools import product

import pytest

from tests.unit.engine.memory_model import Steps, Text
from worker.engine import batcher, blocks


@pytest.fixture(autouse=True)
def _blocks_of_two_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batcher, blocks):
        monkeypatch.setattr(module, "BLOCK_TOKENS", 2)


# Prompts and draws that begin alike, end within a block or with it, and meet each other's draws.
KINDS: tuple[Callable[[], Text], ...] = (
    lambda: Text((0, 0, 0, 0, 0), (0, 1)),
    lambda: Text((0, 0, 0, 1), (0,), spare=2),
    lambda: Text((0,), (0, 0, 0), blind=False),
)


@pytest.mark.parametrize("lookahead", [False, True])
@pytest.mark.parametrize("prompt_tokens", [1, 3, 9])
@pytest.mark.parametrize(("slots", "blocks"), [(1, 4), (2, 5), (3, 20)])
def test_four_texts_that_arrive_in_any_order_and_distance_all_end(
    slots: int, blocks: int, prompt_tokens: int, lookahead: bool
) -> None:
    for kinds in product(KINDS, repeat=4):
        for gaps in product((0, 1), repeat=3):
            steps = Steps(slots=slots, blocks=blocks, longest=8, lookahead=lookahead)
            for kind, gap in zip(kinds, (*gaps, 0), strict=True):
                steps.add(kind())
                for _ in range(gap):
                    steps.step(prompt_tokens)
            steps.finish(prompt_tokens)


def _add(steps: Steps) -> None:
    steps.add(KINDS[len(steps.texts) % len(KINDS)]())


def _evict_the_oldest(steps: Steps) -> None:
    if steps.running:
        steps.evict(steps.running[0])


def _cancel_the_newest(steps: Steps) -> None:
    if steps.texts:
        steps.release(steps.texts[-1])


ACTIONS: tuple[Callable[[Steps], object], ...] = (
    _add,
    lambda steps: steps.step(2),
    _evict_the_oldest,
    _cancel_the_newest,
)


@pytest.mark.parametrize("lookahead", [False, True])
@pytest.mark.parametrize(("slots", "blocks"), [(1, 4), (2, 6)])
def test_whatever_five_things_are_done_those_left_end(slots: int, blocks: int, lookahead: bool) -> None:
    for actions in product(ACTIONS, repeat=5):
        steps = Steps(slots=slots, blocks=blocks, longest=8, lookahead=lookahead)
        _add(steps)
        steps.step(3)
        _add(steps)
        for act in actions:
            act(steps)
        steps.finish(prompt_tokens=2)
