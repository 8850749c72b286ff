import pytest

from quire.fairness import estimate, work_of_claim, work_unheard


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "draws", "expected"), [(0, 1, 1, 1), (10, 5, 1, 15), (10, 5, 4, 30)]
)
def test_an_estimate_is_the_prompt_once_and_every_draw_to_its_end(
    prompt: int, max_tokens: int, draws: int, expected: int
) -> None:
    assert estimate(prompt, max_tokens, draws) == expected


def test_the_work_of_a_claim_counts_the_whole_log() -> None:
    assert work_of_claim(10, 7) == 17


def test_a_claim_that_was_not_heard_of_is_charged_by_its_log() -> None:
    assert work_unheard(10, 20, estimate(10, 10, 2), 7) == 17


def test_draws_that_leave_no_log_are_charged_their_estimate() -> None:
    assert work_unheard(10, 20, estimate(10, 10, 5), 0) == 60
