"""English lines of so many syllables, rhymed or not, written with the words of a lexicon."""

from dataclasses import dataclass

from worker.creative.constrained.dictionary import LONGEST
from worker.creative.constrained.ends import Ends, EndWords, Unused
from worker.creative.constrained.forced import Broken, Forced
from worker.creative.constrained.lexicon import MOST_SYLLABLES, NO_RHYME
from worker.creative.constrained.vocabulary import Mask
from worker.creative.constrained.words import BLANK, FULL_STOP, PAUSES, Words

FREE = ""  # the rhyme of a line that has none
NEWLINE = b"\n"
# Words to choose among for a rhyme beside those that are needed, where there are as many.
_SPARE = 3
_AFTER_PAUSE = 3  # syllables: a line does not stop shortly before its end


@dataclass(frozen=True)
class Line:
    """The form of one line.

    `syllables`: bit k if it may have k. `rhyme`: lines of the same one rhyme; FREE if with none. `group`: within
    one, rhymes differ. `tail`: what stands behind the line, one newline or two; nothing behind the last.
    """

    syllables: int
    rhyme: str
    group: int
    tail: bytes


@dataclass(frozen=True)
class Budget:
    """How many tokens a text may have, its end included, and how many of them are kept for each line to come."""

    tokens: int
    line: int

    def left(self, taken: int, lines_to_come: int) -> int:
        """Return how many tokens the present line may still have."""
        return self.tokens - 1 - taken - self.line * lines_to_come


class MeasuredVerse:
    """The constraint of such lines, one after the other.

    They consist of words of the lexicon, blanks and simple punctuation; full stops stand at their ends alone. No
    two end in words that sound alike: so no line comes twice, and no rhyme. The first line of a rhyme ends with
    any word that enough others rhyme with. A word is begun only if it, and with the shortest words what remains of
    the line, can be ended within the budget.
    """

    def __init__(self, lines: tuple[Line, ...], budget: Budget, words: Words, ends: EndWords) -> None:
        self._lines = lines
        self._budget = budget
        self._words = words
        self._forced = Forced(words.vocabulary)
        self._taken = 0
        self._number = 0
        self._unused = Unused(ends)
        self._line: Line
        self._left: int
        self._word: bytes
        self._ends: Ends
        self._rhymes: dict[str, int] = {}
        self._open_line()

    def allowed(self) -> Mask:
        if self._forced:
            return self._forced.allowed()
        tokens = self._budget.left(self._taken, len(self._lines) - self._number - 1)
        if self._word:
            return self._within_word(tokens)
        mask = self._next_word(self._left, tokens)
        if self._may_end:
            mask |= self._line_end()
        return mask

    def accept(self, token: int) -> None:
        vocabulary = self._words.vocabulary
        written = vocabulary.tokens[token] if token not in vocabulary.end_ids else b""
        self._taken += 1
        if self._forced:
            self._forced.accept(written)
            if not self._forced:
                self._open_line()
        elif not written or written.startswith(NEWLINE):
            self._close_line(written)
        elif written == FULL_STOP:
            self._end_word()
            self._left = 0
        elif written in PAUSES:
            self._end_word()
        else:
            self._write(written)

    # ---- what may come -----------------------------------------------------------------------------------

    def _within_word(self, tokens: int) -> Mask:
        """Return what may come behind some letters: more of them or, where they are a word, what follows words."""
        reach = self._words.onward(self._word)
        most = self._inner_syllables(self._left)
        longest = min(len(self._word) + tokens - len(self._line.tail), LONGEST)
        may = self._ends.within(reach, self._left, longest)
        if most > 0:
            may |= reach.near[most - 1] <= self._room(self._left, tokens)
        number = self._words.number(self._word)
        mask = self._words.vocabulary.nothing() if number is None else self._behind_word(number, tokens)
        mask[reach.tokens[may]] = True
        return mask

    def _behind_word(self, number: int, tokens: int) -> Mask:
        left = self._after(number)
        mask = self._next_word(left, tokens)
        ends = self._ends.fits(number, self._left)
        if ends:
            mask |= self._line_end()
        ends = ends and tokens > len(self._line.tail)
        if ends or (_most(left) >= _AFTER_PAUSE and tokens > self._cost(_most(left))):
            mask[self._words.pauses] = True
        if ends:
            mask[self._words.full_stop] = True
        return mask

    def _next_word(self, left: int, tokens: int) -> Mask:
        """Return what may begin the next word, where so many syllables and tokens are left."""
        spaced = self._started
        mask = self._words.beginnings(spaced, self._inner_syllables(left), self._room(left, tokens))
        if left & self._ends.counted:
            letters = min(tokens - len(self._line.tail), LONGEST)
            return mask | self._ends.beginning(left, letters, spaced=spaced)
        return mask.copy()

    def _line_end(self) -> Mask:
        vocabulary = self._words.vocabulary
        return vocabulary.beginning(self._line.tail) if self._line.tail else vocabulary.end

    def _inner_syllables(self, left: int) -> int:
        """Return how many syllables a word may have that is not the line's last; 0 if it must be the last."""
        return max(0, min(_most(left) - self._ends.fewest, MOST_SYLLABLES))

    def _room(self, left: int, tokens: int) -> int:
        """Return how many letters a word that is not the line's last may still need behind the next token.

        Each takes a token at most, as does each syllable of the words that fill up the line. Below 0: none may.
        """
        return max(-1, min(tokens - 1 - self._cost(_most(left) - 1), LONGEST))

    def _cost(self, left: int) -> int:
        """Return how many tokens are enough for so many syllables, if the line is to end with them."""
        return left - self._ends.fewest + self._ends.letters + len(self._line.tail)

    # ---- what has come -----------------------------------------------------------------------------------

    def _write(self, written: bytes) -> None:
        if written.startswith(BLANK):
            if self._word:
                self._end_word()
            self._word = written.removeprefix(BLANK).lower()
        else:
            self._word += written.lower()
        self._started = True
        if not self._words.is_begun(self._word):
            raise Broken(f"no word begins with {self._word!r}")

    def _end_word(self) -> None:
        number = self._words.number(self._word)
        if number is None:
            raise Broken(f"{self._word!r} is no word")
        self._may_end = self._ends.fits(number, self._left)
        self._left = self._after(number)
        self._last = number
        self._word = b""

    def _after(self, number: int) -> int:
        """Return the syllables that are left behind a word."""
        left = 0
        for count in self._words.counts[number]:
            left |= self._left >> count
        return left

    def _close_line(self, written: bytes) -> None:
        if self._word:
            self._end_word()
        line = self._line
        if not self._may_end or not line.tail.startswith(written) or bool(written) != bool(line.tail):
            raise Broken("a line ends where it must not")
        rhyme = self._unused.use(self._last)
        if line.rhyme != FREE:
            self._rhymes[line.rhyme] = rhyme
        self._number += 1
        self._forced.text = line.tail[len(written) :]
        self._forced.ends = self._number == len(self._lines)
        if not self._forced:
            self._open_line()

    def _open_line(self) -> None:
        self._line = self._lines[self._number]
        self._left = self._line.syllables
        self._word = b""
        self._started = False
        self._may_end = False
        self._last = NO_RHYME
        self._ends = self._may_end_with()

    def _may_end_with(self) -> Ends:
        line = self._line
        if line.rhyme in self._rhymes:
            return self._unused.rhyming(self._rhymes[line.rhyme])
        # The words of the group's other rhymes are kept for them.
        group = [other.rhyme for other in self._lines if other.group == line.group]
        others = [self._rhymes[rhyme] for rhyme in group if rhyme in self._rhymes]
        if line.rhyme == FREE:
            return self._unused.apart_from(others, company=0)
        return self._unused.apart_from(others, company=group.count(line.rhyme) - 1, spare=_SPARE)


def _most(syllables: int) -> int:
    """Return the most of what bits say."""
    return syllables.bit_length() - 1
