"""From a job's rules to the constraint of its pieces, with what all pieces of a model share."""

import threading
from functools import cached_property, partial

from quire.errors import FormUnfit
from quire.forms import LEAST_LINE_TOKENS
from quire.rules import UNRHYMED, Rules
from worker.creative.constrained.ends import EndWords
from worker.creative.constrained.free import FreeVerse, Texts
from worker.creative.constrained.hanzi import Hanzi
from worker.creative.constrained.lexicon import lexicon
from worker.creative.constrained.measured import FREE, Budget, Line, MeasuredVerse
from worker.creative.constrained.regulated import Regulated, RegulatedVerse
from worker.creative.constrained.vocabulary import Vocabulary
from worker.creative.constrained.words import Words
from worker.engine import Engine, MakeConstraint


def vocabulary_of(engine: Engine) -> Vocabulary:
    tokenizer = engine.tokenizer
    return Vocabulary(tokenizer.written(), size=engine.vocab_size, end_ids=tokenizer.end_ids)


class Constraints:
    """Makes the constraints of one model; what is shared is built when it is first asked for, in seconds."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lock = threading.Lock()

    def of(self, rules: Rules, max_tokens: int) -> MakeConstraint:
        """Return what makes the constraint of each piece.

        Raises:
            FormUnfit: the model's tokens cannot write the form.

        """
        with self._lock:  # so that no two threads build the same
            if not self._vocabulary.end_ids:
                raise FormUnfit.because("it has no token that ends a text")
            if rules.language == "zh":
                return self._regulated(rules)
            return self._english(rules, Budget(max_tokens, LEAST_LINE_TOKENS))

    def _regulated(self, rules: Rules) -> MakeConstraint:
        hanzi = self._hanzi
        rhymed = tuple(letter != UNRHYMED for letter in rules.letters)
        if not hanzi.can_rhyme(rules.lines + sum(rhymed)):
            raise FormUnfit.because("its tokens write too few Chinese characters, or no Chinese punctuation")
        return partial(RegulatedVerse, Regulated(rules.characters or 0, rhymed), hanzi)

    def _english(self, rules: Rules, budget: Budget) -> MakeConstraint:
        tails = _tails(rules)
        if not self._vocabulary.can_write(b"\n"):
            raise FormUnfit.because("its tokens write no line ends")
        if not rules.syllables:
            return partial(FreeVerse, tails, budget, self._texts)
        words, ends = self._words
        letters = set(rules.rhyme) - {UNRHYMED}
        most = max(map(rules.rhyme.count, letters), default=1)
        if ends.classes_of(most) < rules.lines + len(letters):
            raise FormUnfit.because("its tokens write too few words that rhyme")
        return partial(MeasuredVerse, _lines(rules, tails), budget, words, ends)

    @cached_property
    def _hanzi(self) -> Hanzi:
        return Hanzi(self._vocabulary)

    @cached_property
    def _texts(self) -> Texts:
        return Texts.of(self._vocabulary)

    @cached_property
    def _words(self) -> tuple[Words, EndWords]:
        words = Words(self._vocabulary, lexicon())
        return words, EndWords(words)


def _tails(rules: Rules) -> tuple[bytes, ...]:
    """Return what stands behind each line."""
    size = rules.stanza or rules.lines
    inner = (b"\n" if number % size else b"\n\n" for number in range(1, rules.lines))
    return (*inner, b"")


def _lines(rules: Rules, tails: tuple[bytes, ...]) -> tuple[Line, ...]:
    size, scheme = rules.stanza or rules.lines, rules.rhyme or UNRHYMED
    lines = []
    for number, (letter, tail) in enumerate(zip(rules.letters, tails, strict=True)):
        held = rules.syllables[number % size % len(rules.syllables)]
        group = number // len(scheme)
        rhyme = FREE if letter == UNRHYMED else f"{group}{letter}"
        counts = sum(1 << count for count in range(held.least, held.most + 1))
        lines.append(Line(counts, rhyme, group, tail))
    return tuple(lines)
