from hypothesis import given
from hypothesis import strategies as st

from worker.engine.stops import first_match, held_back

SMALL = st.text(alphabet="ab", max_size=12)
STRINGS = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3)


@given(old=SMALL, new=SMALL, strings=STRINGS)
def test_the_first_match_is_the_earliest_that_ends_in_the_new_text(old: str, new: str, strings: list[str]) -> None:
    text = old + new
    starts = [
        start
        for string in strings
        for start in range(len(text))
        if text.startswith(string, start) and start + len(string) > len(old)
    ]

    assert first_match(text, strings, ending_after=len(old)) == min(starts, default=None)


@given(text=SMALL, strings=STRINGS)
def test_held_back_is_the_longest_end_that_could_become_a_match(text: str, strings: list[str]) -> None:
    lengths = [
        n for string in strings for n in range(1, len(string)) if n <= len(text) and text.endswith(string[:n])
    ]

    assert held_back(text, strings) == max(lengths, default=0)
