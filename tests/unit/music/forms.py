"""Forms of tunes to draw from, and a walk through a grammar that takes whatever is allowed."""

from random import Random

from hypothesis import strategies as st

from quire.music.grammar import Form, Grammar, Place
from quire.music.keys import MODES, Key
from quire.music.meters import METERS

ALPHABET = "CDEFGABcdefgabz,'^_=12346 8/(<>|:[]-\n"
TONICS = ("C", "D", "E", "F", "G", "A", "B", "Bb", "F#")


def is_written(key: Key) -> bool:
    return abs(key.fifths) <= 7


KEYS = st.builds(Key, st.sampled_from(TONICS), st.sampled_from(sorted(MODES))).filter(is_written)
FORMS = st.builds(
    Form,
    st.sampled_from(list(METERS.values())),
    KEYS,
    st.sampled_from([2, 4, 5, 7, 8, 12, 16]),
    st.booleans(),
)


def walk(grammar: Grammar, random: Random, budget: int) -> str:
    """Write a tune of at most so many characters, its end counted as one, by drawing among all that is allowed."""
    state, written = grammar.start, ""
    while state.at is not Place.END:
        allowed = [
            (char, after)
            for char in ALPHABET
            if (after := grammar.step(state, char)) is not None and grammar.bound(after) <= budget - 1
        ]
        assert allowed, f"a dead end behind {written!r}"
        char, state = random.choice(allowed)
        written += char
        budget -= 1
    assert budget >= 1
    return written
