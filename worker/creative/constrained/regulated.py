"""Chinese regulated verse: so many lines of so many characters, punctuated, and rhymed."""

from dataclasses import dataclass

import numpy as np

from worker.creative.constrained.forced import Broken, Forced
from worker.creative.constrained.hanzi import NO_RHYME, Hanzi, Truths
from worker.creative.constrained.vocabulary import Mask

COMMA, STOP, NEWLINE = "\uff0c".encode(), "\u3002".encode(), b"\n"


@dataclass(frozen=True)
class Regulated:
    """A form: `rhymed` says of each line whether it rhymes with the others that do."""

    characters: int
    rhymed: tuple[bool, ...]

    @property
    def lines(self) -> int:
        return len(self.rhymed)


class RegulatedVerse:
    """The constraint of a `Regulated` form.

    Lines end in comma and full stop by turns. No two end in the same character: so no line comes twice, and no
    rhyme. The first rhymed line chooses the rhyme among all classes that the others can follow.
    """

    def __init__(self, form: Regulated, hanzi: Hanzi) -> None:
        self._form = form
        self._hanzi = hanzi
        self._forced = Forced(hanzi.vocabulary)
        self._line = 0
        self._left = form.characters
        self._pending = b""
        self._rhyme = NO_RHYME
        self._used: list[int] = []
        self._open_line()

    def allowed(self) -> Mask:
        if self._forced:
            return self._forced.allowed()
        before = self._hanzi.before(self._pending, self._left)
        if not (before.ending.size or before.beginning.size):
            return before.mask
        mask = before.mask.copy()
        mask[before.ending] = self._last[before.last]
        mask[before.beginning] = self._last_begun[before.begun]
        return mask

    def accept(self, token: int) -> None:
        written = self._hanzi.vocabulary.tokens[token] if token not in self._hanzi.vocabulary.end_ids else b""
        if self._forced:
            self._forced.accept(written)
            if not self._forced:
                self._open_line()
            return
        read = self._hanzi.read(self._pending + written)
        if read is None or not written:
            raise Broken(f"{written!r} is not part of a line")
        found, self._pending = read
        self._left -= len(found)
        if self._left < 0 or (self._left == 0 and self._pending):
            raise Broken(f"a line is longer than {self._form.characters} characters")
        if self._left == 0:
            self._close_line(found[-1])

    def _open_line(self) -> None:
        self._left = self._form.characters
        self._last = self._may_end()
        self._last_begun = self._hanzi.begun_by(self._last)

    def _may_end(self) -> Truths:
        """Return for each character whether the line may end with it."""
        may = np.ones(len(self._hanzi.texts), np.bool_)
        may[self._used] = False
        if self._form.rhymed[self._line]:
            rhymes = self._hanzi.rhymes
            if self._rhyme == NO_RHYME:
                # As many as may be used up on the way, and one for each rhyme that is still to come.
                needed = self._form.lines + sum(self._form.rhymed)
                may &= np.isin(rhymes, self._hanzi.rhyming(needed))
            else:
                may &= rhymes == self._rhyme
        return may

    def _close_line(self, last: int) -> None:
        if not self._last[last]:
            raise Broken("a line ends in a character that it must not end in")
        self._used.append(last)
        if self._form.rhymed[self._line]:
            self._rhyme = int(self._hanzi.rhymes[last])
        self._line += 1
        self._forced.text = STOP if self._line % 2 == 0 else COMMA
        if self._line == self._form.lines:
            self._forced.ends = True
        else:
            self._forced.text += NEWLINE
