"""What the tables of words say, against the same read off the list of words, one after the other."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from tests.unit.constrained.vocabularies import english
from worker.creative.constrained.dictionary import LONGEST
from worker.creative.constrained.ends import Ends, EndWords, Unused
from worker.creative.constrained.lexicon import MOST_SYLLABLES, lexicon
from worker.creative.constrained.prefixes import NEVER
from worker.creative.constrained.words import Reach, Words

SEEDS = range(6)


@cache
def ninth_words() -> Words:
    """Return every ninth word, for a vocabulary of 300 tokens."""
    words = lexicon()
    return Words(english()._vocabulary, words.only([at % 9 == 0 for at in range(len(words.words))]))


@cache
def end_words() -> EndWords:
    return EndWords(ninth_words())


def texts(words: Words, reach: Reach, prefix: bytes = b"") -> dict[int, bytes]:
    tokens = words.vocabulary.tokens
    return {int(token): prefix + tokens[token].removeprefix(b" ").lower() for token in reach.tokens}


@pytest.mark.parametrize("prefix", [b"s", b"th", b"str", b"unde", b"night"])
def test_a_token_reaches_the_words_that_begin_with_what_is_then_written(prefix: bytes) -> None:
    words = ninth_words()
    known = words.lexicon.words
    fewest = [min(words.counts[number]) for number in range(len(known))]

    reach = words.onward(prefix)

    written = texts(words, reach, prefix)
    tokens = {
        token
        for text, token in words.vocabulary.by_bytes.items()
        if text.strip(b"abcdefghijklmnopqrstuvwxyz'") == b"" and any(w.startswith(prefix + text) for w in known)
    }
    assert written.keys() == tokens
    for at, text in enumerate(written.values()):
        begun = [number for number, word in enumerate(known) if word.startswith(text)]
        ends = [place for place, number in enumerate(words.ends) if number in set(begun)]
        assert list(range(reach.low[at], reach.high[at])) == ends
        assert not ends or (reach.span[0] <= ends[0] and ends[-1] < reach.span[1])
        for most in range(1, MOST_SYLLABLES + 1):
            letters = [len(known[number]) for number in begun if fewest[number] <= most]
            assert reach.near[most - 1, at] == (min(letters) - len(text) if letters else NEVER)


def drawn_ends(seed: int) -> Iterator[tuple[Ends, set[int]]]:
    """Yield the ends of lines of a text by chance, and which words of the lexicon they should be."""
    tables, words = end_words(), ninth_words()
    known = words.lexicon
    draw = np.random.default_rng(seed)
    unused, used = Unused(tables), set[int]()
    rhymes: list[int] = []
    for _ in range(12):
        left = {n for n in map(int, words.ends) if known.sounds[n] not in {known.sounds[u] for u in used}}
        sounds: dict[int, set[int]] = {}
        for number in left:
            sounds.setdefault(int(known.rhymes[number]), set()).add(int(known.sounds[number]))
        followed = [rhyme for rhyme in rhymes if rhyme in sounds]
        if followed and draw.random() < 0.5:
            rhyme = followed[draw.integers(len(followed))]
            ends, expected = unused.rhyming(rhyme), {n for n in left if known.rhymes[n] == rhyme}
        else:
            company, spare = int(draw.integers(4)), int(draw.choice([0, 3, 500]))
            ends = unused.apart_from(rhymes, company=company, spare=spare)
            rich = {r for r, of in sounds.items() if r not in rhymes and len(of) > company + spare}
            rich = rich or {r for r, of in sounds.items() if r not in rhymes and len(of) > company}
            expected = {n for n in left if known.rhymes[n] in rich}
        yield ends, expected
        number = sorted(expected)[draw.integers(len(expected))]
        used.add(number)
        rhymes.append(unused.use(number))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ends_of_a_line_are_the_words_that_are_left(seed: int) -> None:
    known = ninth_words().lexicon
    for ends, expected in drawn_ends(seed):
        counts = {number: int(known.ends[number]) for number in expected}
        counted = np.bitwise_or.reduce(list(counts.values()))
        fewest = min(bit for bit in range(MOST_SYLLABLES) if counted & 1 << bit)
        letters = min(len(known.words[number]) for number, bits in counts.items() if bits & 1 << fewest)

        assert (ends.counted, ends.fewest, ends.letters) == (counted, fewest, letters)
        for number in range(0, len(known.words), 7):
            assert ends.fits(number, 0b100) == bool(counts.get(number, 0) & 0b100)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_token_may_begin_the_end_of_a_line_if_some_word_that_is_left_begins_so(seed: int) -> None:
    words = ninth_words()
    known, draw = words.lexicon, np.random.default_rng(seed)
    for ends, expected in drawn_ends(seed):
        spaced, syllables = bool(draw.integers(2)), int(draw.integers(1, 16))
        most = int(draw.choice([3, 5, LONGEST]))
        fit = {known.words[n] for n in expected if known.ends[n] & syllables and len(known.words[n]) <= most}
        begun = {word[:end] for word in fit for end in range(1, len(word) + 1)}

        mask = ends.beginning(syllables, most, spaced=spaced)

        first = texts(words, words.spaced if spaced else words.bare)
        assert np.flatnonzero(mask).tolist() == sorted(token for token, text in first.items() if text in begun)
        for prefix in (b"s", b"ti", b"fea"):
            reach = words.onward(prefix)
            within = [text in begun for text in texts(words, reach, prefix).values()]
            assert ends.within(reach, syllables, most).tolist() == within
