import numpy as np
import pytest

from worker.engine.draws import philox, uniforms


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # The known-answer vectors that the authors publish with their Random123 library.
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_answers(counter: str, key: str, expected: str) -> None:
    words = philox(_words(counter), _words(key))

    assert words.tolist() == _words(expected).tolist()


def test_a_number_does_not_depend_on_the_others_drawn_with_it() -> None:
    draws = [(seed, 0, position, 0, 0) for seed in (1, 2**63, -5) for position in range(10)]

    together = uniforms(draws)

    assert [uniforms([draw])[0] for draw in draws] == together.tolist()


@pytest.mark.parametrize("changed", range(5))
def test_each_part_of_the_name_changes_the_number(changed: int) -> None:
    name = [3, 1, 4, 1, 5]
    other = [part + (i == changed) for i, part in enumerate(name)]

    first, second = uniforms([tuple(name), tuple(other)])

    assert first != second


def test_seeds_differ_in_all_64_bits() -> None:
    numbers = uniforms([(1 << bit, 0, 0, 0, 0) for bit in range(64)])

    assert len(set(numbers.tolist())) == 64


def test_numbers_are_uniform_in_the_unit_interval() -> None:
    numbers = uniforms([(11, 0, position, 0, 0) for position in range(40_000)])

    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    chi_squared = float(((counts - 2_000) ** 2 / 2_000).sum())
    assert chi_squared < 43.8  # 0.999 quantile of chi-squared with 19 degrees of freedom
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.02


def _words(text: str) -> np.ndarray:
    return np.array([[int(word, 16) for word in text.split()]], dtype=np.uint32)
