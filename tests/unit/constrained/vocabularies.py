"""Vocabularies for tests, and walks through a constraint that end where its form is whole."""

from collections.abc import Callable
from functools import cache

import numpy as np

from quire.forms import Asked, rules_of, tokens_needed
from quire.rules import Rules
from quire.spec import Form
from worker.creative.constrained.making import Constraints
from worker.creative.constrained.vocabulary import Vocabulary
from worker.engine.constraint import Constraint

END = 0
_LETTERS = "abcdefghijklmnopqrstuvwxyz'"

Choose = Callable[[list[int]], int]


def vocabulary_of(*extra: str | bytes) -> Vocabulary:
    """Return all single bytes, a blank with each letter, and more tokens; the end of text is token 0."""
    texts = [bytes([value]) for value in range(256)]
    texts += [f" {letter}".encode() for letter in _LETTERS]
    texts += [text if isinstance(text, bytes) else text.encode() for text in extra]
    # A mask is wider than the tokens are many, as logits may be.
    return Vocabulary([b"", *texts], size=len(texts) + 5, end_ids=frozenset({END}))


@cache
def chinese() -> Constraints:
    """Tokens of whole characters, of several, and of parts of them that lie across their borders."""
    moon, bright, wind, spring, mountain = (text.encode() for text in "月明风春山")
    return Constraints(
        vocabulary_of(
            "月", "明", "风", "春", "山", "明月", "春风", "月明风", "明月春风山", "，", "。", "，\n", "月。", "\n",
            moon[:2], moon[1:], moon[2:] + bright[:1], bright[1:] + wind[:2], spring + mountain[:1], "a月", "月a",
        )
    )  # fmt: skip


@cache
def english() -> Constraints:
    """Tokens of letters, parts of words, words, and such as a form of verse has no use for."""
    return Constraints(
        vocabulary_of(
            " the", " sea", " night", " light", " and", " of", "ing", "ed", "The", " moon", "And", " gold", " old",
            "ight", " b", " st", "\n\n", ", ", "--", "42", " Night", " I", "é", "…", " so", " far", " star", "er",
        )
    )  # fmt: skip


def made(constraints: Constraints, rules: Rules, max_tokens: int | None = None) -> Constraint:
    return constraints.of(rules, max_tokens or tokens_needed(rules))()


def rules_for(form: Form, **asked: object) -> Rules:
    rules = rules_of(form, Asked(**asked))
    assert rules is not None
    return rules


def walk(constraint: Constraint, choose: Choose, most: int) -> list[int]:
    """Take allowed tokens as `choose` says until the text ends; fails in a dead end, and behind `most`."""
    tokens: list[int] = []
    while not tokens or tokens[-1] != END:
        assert len(tokens) < most, "the form is not whole within its tokens"
        mask = constraint.allowed()
        assert mask is not None
        allowed = np.flatnonzero(mask).tolist()
        assert allowed, "a dead end"
        tokens.append(choose(allowed))
        constraint.accept(tokens[-1])
    return tokens


def text_of(constraints: Constraints, tokens: list[int]) -> str:
    return b"".join(constraints._vocabulary.tokens[token] for token in tokens).decode()


def by_chance(seed: int) -> Choose:
    draw = np.random.default_rng(seed)
    return lambda allowed: int(draw.choice(allowed))
