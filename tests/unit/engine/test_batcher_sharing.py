"""Which beginnings a batcher finds in memory and which it computes, by example; a block has 16 tokens."""

import pytest

from tests.unit.engine.memory_model import PROMPT, batch, spans, text


def test_equal_prompts_are_computed_once() -> None:
    steps = batch()
    for _ in range(4):
        steps.add(text())

    # Two full blocks are shared in the very step that computes them.
    assert spans(steps.step(256)) == [(0, 40), (32, 40), (32, 40), (32, 40)]
    assert steps.batcher.shared_tokens == 3 * 32
    assert steps.batcher.reserved_tokens == 48 + 3 * 16


def test_a_follower_takes_over_what_its_leader_computes_while_both_are_in_their_prompts() -> None:
    steps = batch()
    steps.add(text())
    steps.step(8)  # nothing is full yet
    steps.add(text())

    found = [spans(steps.step(20)) for _ in range(2)]

    # The leader runs 8 … 28, which fills a block; then both go on, and the follower finds two.
    assert found == [[(8, 28)], [(28, 40), (32, 40)]]
    assert steps.batcher.shared_tokens == 32


def test_a_follower_gives_back_the_memory_it_does_not_need() -> None:
    steps = batch()
    steps.add(text())
    steps.add(text())
    steps.step(8)  # the leader alone: the follower is admitted and has a step to wait
    reserved_before = steps.batcher.reserved_tokens

    steps.step(256)

    assert (reserved_before, steps.batcher.reserved_tokens) == (48 + 48, 48 + 16)


@pytest.mark.parametrize(("tokens", "computed"), [(16, 16), (17, 1), (32, 16), (33, 1)])
def test_the_last_token_is_always_computed_because_it_draws(tokens: int, computed: int) -> None:
    steps = batch()
    steps.add(text(range(tokens)))
    steps.step(256)
    again = steps.add(text(range(tokens)))

    chunk = steps.step(256)[1]

    assert (chunk.item, chunk.count, chunk.draws) == (again, computed, True)


def test_texts_of_different_scopes_share_nothing() -> None:
    steps = batch()
    steps.add(text(scope="ours"))
    steps.add(text(scope="theirs"))

    assert spans(steps.step(256)) == [(0, 40), (0, 40)]
    assert steps.batcher.shared_tokens == 0


def test_a_beginning_that_is_alike_is_shared_up_to_where_it_ends() -> None:
    steps = batch()
    steps.add(text())
    steps.add(text([*PROMPT[:31], 99, *PROMPT[32:]]))

    assert spans(steps.step(256)) == [(0, 40), (16, 40)]


def test_the_same_tokens_after_others_are_not_shared() -> None:
    steps = batch()
    steps.add(text())
    steps.add(text([*range(100, 116), *PROMPT[16:]]))

    assert spans(steps.step(256)) == [(0, 40), (0, 40)]


def test_what_a_text_has_drawn_is_found_by_a_prompt_that_goes_on_from_it() -> None:
    steps = batch()
    first = steps.add(text(draws=40))
    steps.finish(256)
    steps.add(text(first.tokens))

    # The last token of the first text was never run, so the block that it would end in is not full.
    assert spans(steps.step(256)) == [(64, 80)]


def test_a_released_text_is_found_again_until_its_blocks_are_taken() -> None:
    steps = batch(blocks=8)
    steps.add(text())
    steps.finish(256)

    steps.add(text([500]))  # takes a block that holds nothing
    steps.finish(256)
    steps.add(text())
    assert spans(steps.step(256)) == [(32, 40)]
    steps.finish(256)

    steps.add(text(range(600, 720)))  # takes all eight
    steps.finish(256)
    steps.add(text())
    assert spans(steps.step(256)) == [(0, 40)]


def test_the_end_of_a_released_text_is_taken_before_its_beginning() -> None:
    steps = batch(blocks=4)
    steps.add(text(range(60), draws=2))
    steps.finish(256)

    steps.add(text(range(600, 617), draws=2))  # one block holds nothing, and one is taken
    steps.finish(256)
    steps.add(text(range(60), draws=2))

    assert spans(steps.step(256)) == [(32, 60)]


def test_the_text_that_was_unused_for_the_longest_is_taken_first() -> None:
    steps = batch(blocks=6)
    for first in (100, 200, 300):
        steps.add(text(range(first, first + 17), draws=1))
        steps.finish(256)
    steps.add(text(range(100, 117), draws=1))  # uses the oldest again
    steps.finish(256)

    # Three blocks hold nothing; the fourth that is taken held the second text.
    steps.add(text(range(600, 657), draws=1))
    steps.finish(256)
    starts = []
    for first in (100, 300, 200):
        steps.add(text(range(first, first + 17), draws=1))
        starts += spans(steps.step(256))
        steps.finish(256)

    assert starts == [(16, 17), (16, 17), (0, 17)]
