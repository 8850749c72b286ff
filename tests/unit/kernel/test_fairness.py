import pytest

from quire.fairness import estimate, work_of_claim


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "draws", "expected"), [(0, 1, 1, 1), (10, 5, 1, 15), (10, 5, 4, 30)]
)
def test_an_estimate_is_the_prompt_once_and_every_draw_to_its_end(
    prompt: int, max_tokens: int, draws: int, expected: int
) -> None:
    assert estimate(prompt, max_tokens, draws) == expected


def test_the_work_of_a_claim_counts_the_whole_log() -> None:
    assert work_of_claim(10, 7) == 17
