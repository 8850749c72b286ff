"""Lines of any text, counted, and broken where the model wants or at the latest where a line has become long."""

import re
from dataclasses import dataclass

from worker.creative.constrained.forced import Broken, Forced
from worker.creative.constrained.measured import NEWLINE, Budget
from worker.creative.constrained.vocabulary import Mask, Vocabulary
from worker.creative.constrained.words import BLANK

# From so many characters on, a line gets no more words.
LONG = 72
# With so few tokens left, a line that may not end yet gets letters, by which it comes to differ from the others.
_HURRY = 8
# Printable text that begins and ends with whole characters; the dashes and quotation marks of verse among it.
_TEXT = re.compile(r"[ -~\u2010-\u2026\u00c0-\u00ff]+")
_BEGINNING = re.compile("[A-Z\u00c0-\u00de\"'\u2018\u201c]")
_LETTER = re.compile(r"[A-Za-z\u00c0-\u00ff]")


@dataclass(frozen=True)
class Texts:
    """The tokens that write printable text: any, those without a blank, with a letter, at a beginning.

    A line begins with a capital or a quotation mark: what else has no blank before it goes on with a word.
    """

    vocabulary: Vocabulary
    begin: Mask
    any: Mask
    unspaced: Mask
    lettered: Mask

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Texts":
        texts = {token: written for written, token in vocabulary.by_bytes.items() if _printable(written)}
        unspaced = [token for token, written in texts.items() if BLANK not in written]
        begin = [token for token in unspaced if _BEGINNING.match(texts[token].decode())]
        lettered = [token for token, written in texts.items() if _LETTER.search(written.decode())]
        return cls(
            vocabulary, *(vocabulary.mask_of(chosen) for chosen in (begin, list(texts), unspaced, lettered))
        )


class FreeVerse:
    """The constraint of lines of any text; `tails` stand behind them, nothing behind the last.

    A line holds a letter, and differs from every other line.
    """

    def __init__(self, tails: tuple[bytes, ...], budget: Budget, texts: Texts) -> None:
        self._tails = tails
        self._budget = budget
        self._texts = texts
        self._forced = Forced(texts.vocabulary)
        self._taken = 0
        self._lines: list[str] = []
        self._line = b""

    def allowed(self) -> Mask:
        if self._forced:
            return self._forced.allowed()
        tokens = self._budget.left(self._taken, len(self._tails) - len(self._lines) - 1)
        tail = self._tails[len(self._lines)]
        if not self._may_end():
            texts = self._texts
            if tokens <= len(tail) + _HURRY:
                return texts.lettered & texts.unspaced
            return texts.any if self._line else texts.begin
        end = self._texts.vocabulary.beginning(tail) if tail else self._texts.vocabulary.end
        if tokens <= len(tail):
            return end
        return end | (self._texts.unspaced if len(self._line) >= LONG else self._texts.any)

    def accept(self, token: int) -> None:
        vocabulary = self._texts.vocabulary
        written = vocabulary.tokens[token] if token not in vocabulary.end_ids else b""
        self._taken += 1
        if self._forced:
            self._forced.accept(written)
        elif not written or written.startswith(NEWLINE):
            self._close_line(written)
        else:
            self._line += written

    def _may_end(self) -> bool:
        line = self._line.decode(errors="replace").strip()
        return _LETTER.search(line) is not None and line.lower() not in self._lines

    def _close_line(self, written: bytes) -> None:
        tail = self._tails[len(self._lines)]
        if not self._may_end() or not tail.startswith(written) or bool(written) != bool(tail):
            raise Broken("a line ends where it must not")
        self._lines.append(self._line.decode(errors="replace").strip().lower())
        self._line = b""
        self._forced.text = tail[len(written) :]
        self._forced.ends = len(self._lines) == len(self._tails)


def _printable(written: bytes) -> bool:
    try:
        return _TEXT.fullmatch(written.decode()) is not None
    except UnicodeDecodeError:
        return False
