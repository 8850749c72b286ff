"""How lengths are written in ABC (L:1/8), and which of them fill what is left of a bar.

Positions inside a bar are multiples of three ticks, a thirty-second. A thirty-second, or what a dotted sixteenth
leaves over, is at once made whole: what follows begins on a sixteenth again. So whatever is left of a bar can be
filled: it is a multiple of six ticks, or three more, which one more thirty-second takes.
"""

from functools import cache

# What stands behind a note, and the ticks that it means. "3/" and "/" are short for "3/2" and "/2".
TICKS = {
    "": 12,
    "2": 24,
    "3": 36,
    "4": 48,
    "6": 72,
    "8": 96,
    "/": 6,
    "/2": 6,
    "/4": 3,
    "3/": 18,
    "3/2": 18,
    "3/4": 9,
}
PAIRED = frozenset({6, 12, 24})  # lengths of the notes of a triplet, or of two joined by > or <


def fits(ticks: int, position: int, left: int) -> bool:
    """Whether a note so long may stand there, and what it leaves can still be filled."""
    if ticks > left:
        return False
    return (position + ticks) % 6 == 0 or position % 6 == 0


@cache
def fitting(position: int, left: int) -> frozenset[str]:
    """Return the lengths that may stand there, as they are written."""
    return frozenset(text for text, ticks in TICKS.items() if fits(ticks, position, left))


@cache
def written(ticks: int) -> frozenset[str]:
    return frozenset(text for text, each in TICKS.items() if each == ticks)


@cache
def fewest(position: int, left: int) -> int:
    """Return how many characters fill what is left of a bar, at the least, one for each note's letter."""
    if left == 0:
        return 0
    return min(
        1 + len(text) + fewest(position + TICKS[text], left - TICKS[text]) for text in fitting(position, left)
    )
