"""Tunes that always parse: the grammar of quire.music as a constraint over the tokens of a model's vocabulary."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quire.music.grammar import FEWEST_BARS, UNKNOWN, Form, Grammar, Place, State, strictly
from quire.music.keys import Key

NEVER = np.int32(2**30)
SHORTEST_BAR = 3  # characters: a note, a length, a barline
# At most 8 MB each, for a vocabulary of 512.
TABLES_KEPT = 16
ROWS_KEPT = 4096
CHARACTERS = "CDEFGABcdefgab,'^_=z123468/(|:[] \n"


@dataclass
class _Node:
    """Where the tokens that begin with some characters part."""

    tokens: list[int] = field(default_factory=list)
    longer: dict[str, "_Node"] = field(default_factory=dict)


class Vocabulary:
    """The tokens of a model by their text. `texts`: of each token by itself, '' for special ones.

    Raises:
        ValueError: a character that tunes are written with is no token by itself.

    """

    def __init__(self, texts: Sequence[str], *, size: int, end_ids: Iterable[int]) -> None:
        self.texts = tuple(texts)
        self.size = size  # of the model's output, which may be larger
        self.end_ids = tuple(end_ids)
        self.root = _Node()
        for token, text in enumerate(texts):
            if text and token not in self.end_ids:
                self._add(token, text)
        missing = [char for char in CHARACTERS if not self.root.longer.get(char, _Node()).tokens]
        if missing or not self.end_ids:
            raise ValueError(f"The vocabulary cannot write tunes: it has no token for {''.join(missing)!r} alone.")
        # How many bars one token may close at most.
        self.reach = 2 + max(map(len, texts)) // SHORTEST_BAR
        self.tables = lru_cache(maxsize=TABLES_KEPT)(lambda form: Tables(form, self))

    def _add(self, token: int, text: str) -> None:
        node = self.root
        for char in text:
            node = node.longer.setdefault(char, _Node())
        node.tokens.append(token)


class Tables:
    """For one form: which tokens may come in each state, and in how many more the tune can then be ended.

    What a token may be depends on the bars that are left only where they are few, so states that differ in
    nothing else share a row.
    """

    def __init__(self, form: Form, vocabulary: Vocabulary) -> None:
        self.grammar = Grammar(form)
        self._vocabulary = vocabulary
        self._rows: dict[State, NDArray[np.int32]] = {}

    def costs(self, state: State) -> NDArray[np.int32]:
        """Return for each token how many must be left for it, itself included; NEVER where it is not allowed."""
        near = state if state.pickup == UNKNOWN else state._replace(left=min(state.left, self._vocabulary.reach))
        row = self._rows.get(near)
        if row is None:
            if len(self._rows) >= ROWS_KEPT:
                self._rows.clear()
            row = self._rows[near] = self._row(near)
        beyond = state.left - near.left
        return row + beyond * self.grammar.per_bar(state.pickup) if beyond else row

    def after(self, state: State, text: str) -> State:
        """Return the state after a token's text.

        Raises:
            ValueError: the token was not allowed.

        """
        after = self.grammar.read(text, state)
        if after is None:
            raise ValueError(f"{text!r} does not go on with the tune")
        return after

    def _row(self, state: State) -> NDArray[np.int32]:
        row = np.full(self._vocabulary.size, NEVER, dtype=np.int32)
        if state.at is Place.END:
            row[list(self._vocabulary.end_ids)] = 1
            return row
        nodes = [(self._vocabulary.root, state)]
        while nodes:
            node, at = nodes.pop()
            if node.tokens:
                row[node.tokens] = 1 + self.grammar.bound(at)
            nodes += [
                (longer, after)
                for char, longer in node.longer.items()
                if (after := self.grammar.step(at, char)) is not None
            ]
        return row


def alike(form: Form) -> Form:
    """Return the form that stands for all in which the same tokens are allowed.

    How many bars there are is in the states; the key only says which accidentals suit it.
    """
    return replace(form, bars=FEWEST_BARS, key=form.key if form.accidentals else Key("C", "major"))


class TuneConstraint:
    """Holds one tune to its form: it ends in time, whatever is drawn of what is allowed.

    `opening`: what of the tune stands in the prompt. `most`: tokens that may be drawn, that of the end included.
    """

    def __init__(self, vocabulary: Vocabulary, form: Form, *, opening: str, most: int) -> None:
        self._vocabulary = vocabulary
        self._tables = vocabulary.tables(alike(form))
        opened = Grammar(form, loose=True).read(opening)
        if opened is None:
            raise ValueError("the opening is none of such a tune")
        self._state = strictly(opened)
        self._left = most

    def allowed(self) -> NDArray[np.bool_]:
        """Return which tokens go on with the tune and leave room for its end."""
        return self._tables.costs(self._state) <= self._left

    def accept(self, token: int) -> None:
        """Go on behind a token.

        Raises:
            ValueError: it was not allowed.

        """
        self._left -= 1
        if token not in self._vocabulary.end_ids:
            self._state = self._tables.after(self._state, self._vocabulary.texts[token])
