"""Finding strings in a text that grows at its end."""

from collections.abc import Iterable


def first_match(text: str, strings: Iterable[str], *, ending_after: int) -> int | None:
    """Return where the first match of any of `strings` starts that ends beyond character `ending_after`.

    The earliest start wins. None: there is no such match.
    """
    starts = []
    for string in strings:
        start = text.find(string, max(0, ending_after + 1 - len(string)))
        if start >= 0:
            starts.append(start)
    return min(starts, default=None)


def held_back(text: str, strings: Iterable[str]) -> int:
    """Return the length of the longest end of `text` that could be the start of one of `strings`."""
    longest = 0
    for string in strings:
        for length in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:length]):
                longest = length
                break
    return longest
