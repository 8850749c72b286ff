r"""Preparing input text: what is changed is little, stated, and reported.

Blanks are left as sent. Line ends become \n, control characters other than tab and newline go, surrogates
without a partner become U+FFFD, and the whole is put in Unicode normal form NFC.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from quire.spec import Change

SURROGATES = re.compile("[\ud800-\udfff]")
LINE_ENDS = re.compile("\r\n?|\u2028|\u2029")
# C0 and C1 controls without tab and newline; DEL; the byte-order mark, which is no text inside a text.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
# Any of these, in one class, which is searched faster than one after the other.
UNCLEAN = re.compile("[\ud800-\udfff\u2028\u2029\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")


@dataclass(frozen=True)
class Prepared:
    """A text fit for a model, and what was done to it."""

    text: str
    changes: tuple[Change, ...]


def prepare(text: str) -> Prepared:
    """Clean one input text."""
    if UNCLEAN.search(text) is None and unicodedata.is_normalized("NFC", text):
        return Prepared(text, ())  # as nearly all are
    text, broken = SURROGATES.subn("\ufffd", text)
    text, line_ends = LINE_ENDS.subn("\n", text)
    text, controls = CONTROLS.subn("", text)
    normal = unicodedata.normalize("NFC", text)
    counts = (
        Change(what="broken_surrogates", count=broken),
        Change(what="line_endings", count=line_ends),
        Change(what="control_characters", count=controls),
        Change(what="normalised", count=int(normal != text)),
    )
    return Prepared(normal, tuple(change for change in counts if change.count))


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits the model's context."""

    text: str
    tokens: int
    cut: int  # tokens taken away


class DoesNotFit(Exception):
    """The prompt is too long by `excess` tokens, and may not be cut."""

    def __init__(self, tokens: int, excess: int) -> None:
        super().__init__(tokens, excess)
        self.tokens, self.excess = tokens, excess


Spans = Callable[[str], list[tuple[int, int]]]


def fit(text: str, spans: Spans, room: int, truncate: Literal["start", "end"] | None) -> Fitted:
    """Check, or cut, a prompt against the tokens that the context leaves for it.

    Args:
        text: the prepared prompt.
        spans: tokenises; returns each token's first and last+1 character.
        room: tokens, at least 1.
        truncate: the side that may be cut.

    Raises:
        DoesNotFit: it is too long and may not be cut, or not even one character fits.

    """
    tokens = spans(text)
    before = len(tokens)
    if before > room and truncate is None:
        raise DoesNotFit(before, before - room)
    # What is left may tokenise into more than it had inside the whole: then cut one more and look again.
    for keep in range(room, 0, -1):
        if len(tokens) <= room:
            return Fitted(text, len(tokens), before - len(tokens))
        text = text[tokens[-keep][0] :] if truncate == "start" else text[: tokens[keep - 1][1]]
        tokens = spans(text)
    if len(tokens) > room:
        raise DoesNotFit(len(tokens), len(tokens) - room)
    return Fitted(text, len(tokens), before - len(tokens))
