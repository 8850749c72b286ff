"""Where sentences and lines end."""

import re

_UNSPACED = "\u3002\uff01\uff1f"
_CLOSERS = "\"'\u201d\u2019\xbb)\\]\u300d\u300f\uff09"
SENTENCE = re.compile(rf"[.!?\u2026{_UNSPACED}]+[{_CLOSERS}]*")
# A point behind these ends no sentence.
_ABBREVIATED = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Rev|Capt|Col|Gen|Esq|vs|No|[A-Z])\.$")


def ends(text: str, *, verse: bool) -> list[int]:
    """Return the positions behind each sentence, or line of verse, that certainly ends in the text.

    What may still grow does not count: an English sentence ends where a blank follows, a Chinese one where
    anything does.
    """
    if verse:
        return [match.start() for match in re.finditer(r"\n", text)]
    found = []
    for match in SENTENCE.finditer(text):
        followed = text[match.end() : match.end() + 1]
        if not followed or not (followed.isspace() or match[0][0] in _UNSPACED):
            continue
        if not _ABBREVIATED.search(text, max(0, match.end() - 8), match.end()):
            found.append(match.end())
    return found


def completed(text: str, at_least: int, *, earliest: int, verse: bool) -> int | None:
    """Return where to cut a text so that it ends with a sentence or a line.

    It is the first end from character `at_least` on, else the last one from `earliest` on; None: there is none.
    """
    found = [end for end in ends(text, verse=verse) if end >= earliest]
    return next((end for end in found if end >= at_least), found[-1] if found else None)


def whole_words(text: str, earliest: int) -> int:
    """Return where to cut a text behind its last whole word, but not before `earliest`."""
    last = max(text.rfind(" "), text.rfind("\n"))
    return max(earliest, last) if last > 0 else len(text)
