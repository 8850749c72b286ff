import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import decoders
from transformers import AutoTokenizer

from worker.engine.errors import ModelRefused

REPLACEMENT = "\ufffd"
# An unfinished character is at most three bytes, and some decoders write one replacement for each.
_MOST_UNFINISHED = 3
# How many tokens of context a detokeniser decodes again, so that spacing between words comes out right.
_CONTEXT = 4
_LONGEST_WINDOW = 16

# Scripts written without spaces: CJK symbols and punctuation, kana, ideographs, full-width forms.
_UNSPACED = (
    "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\u2014\u2018-\u201d\u2026"
)
_SPACE_BETWEEN_UNSPACED = re.compile(f"(?<=[{_UNSPACED}]) (?=[{_UNSPACED}])")


class Tokenizer:
    """Text to token ids and back, for one model."""

    def __init__(self, fast: Any, end_ids: frozenset[int]) -> None:
        self._fast = fast
        self._backend = fast.backend_tokenizer
        # What a user writes is text, also where it looks like a special token.
        self._backend.encode_special_tokens = True
        self.end_ids = end_ids
        # Word-piece decoders put a space before every piece that begins a word; each Chinese character does.
        self._joins_unspaced = isinstance(self._backend.decoder, decoders.WordPiece)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text` alone: no beginning, end or separator is added."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens; unfinished characters come out as U+FFFD."""
        text = str(self._backend.decode(list(ids), skip_special_tokens=True))
        return _SPACE_BETWEEN_UNSPACED.sub("", text) if self._joins_unspaced else text

    def token_text(self, token: int) -> str:
        """Return what `token` looks like by itself, for reports of log-probabilities."""
        return str(self._backend.decode([token], skip_special_tokens=False))

    def holding(self, strings: Sequence[str]) -> "np.ndarray | None":
        """Return the ids of tokens whose own text holds one of `strings`; None if there are none.

        Empty for word pieces, whose text by themselves is not what they add to a text.
        """
        if self._joins_unspaced:
            return None
        found = [i for i, text in enumerate(self.texts) if any(string in text for string in strings)]
        return np.array(found) if found else None

    @cached_property
    def texts(self) -> list[str]:
        """The text of each token by itself, special ones empty."""
        size = self._backend.get_vocab_size(with_added_tokens=True)
        return [self.decode([token]) for token in range(size)]

    def serialise(self) -> str:
        """Return the text of tokenizer.json, from which the `tokenizers` library makes the same tokenizer."""
        return str(self._backend.to_str())


class Detokenizer:
    """Turns a growing list of token ids into text, never emitting half a character.

    What it emits is a function of the ids alone, those of `prompt` included.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._window = list(prompt[-_CONTEXT:])
        # How many characters of the window's text came before or were emitted.
        self._emitted = len(self._tokenizer.decode(self._window).rstrip(REPLACEMENT))

    def push(self, token: int) -> str:
        """Add a token; return the text that became certain, often '' or one word."""
        self._window.append(token)
        text = self._tokenizer.decode(self._window)
        certain = len(text) - _unfinished(text)
        settled = text[self._emitted : certain]
        self._emitted = max(self._emitted, certain)
        if certain == len(text) and len(self._window) > _LONGEST_WINDOW:
            self._window = self._window[-_CONTEXT:]
            self._emitted = len(self._tokenizer.decode(self._window))
        return settled

    def peek(self, token: int) -> str:
        """Return the text that `push(token)` would make appear, an unfinished character included."""
        return self._tokenizer.decode([*self._window, token])[self._emitted :]

    def flush(self) -> str:
        """Return what is held back, at the end of a text: an unfinished character comes out as U+FFFD."""
        text = self._tokenizer.decode(self._window)
        held = text[self._emitted :]
        self._emitted = max(self._emitted, len(text))
        return held


def load_tokenizer(source: str, *, vocabulary: int, end_ids: frozenset[int]) -> Tokenizer:
    """Load the tokenizer of `source` for a model with `vocabulary` tokens that ends texts with `end_ids`.

    ModelRefused: there is none, it is not a fast one, or its ids do not fit the model.
    """
    try:
        fast = AutoTokenizer.from_pretrained(source)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelRefused(f"{source} has no readable tokenizer: {reason}") from error
    if getattr(fast, "backend_tokenizer", None) is None:
        raise ModelRefused(f"{source} has a tokenizer without a tokenizer.json form")
    ids = fast.get_vocab()
    if ids.keys() <= set(fast.all_special_tokens):
        # The library makes an empty one where there are no files of one.
        raise ModelRefused(f"{source} has no readable tokenizer: none of its files is there")
    largest = max(ids.values())
    if not 0 <= largest < vocabulary:
        raise ModelRefused(
            f"{source} has a tokenizer whose largest id is {largest}, but a vocabulary of {vocabulary}"
        )
    ends = {fast.eos_token_id} if fast.eos_token_id is not None else {fast.sep_token_id} - {None}
    return Tokenizer(fast, end_ids | ends)


def _unfinished(text: str) -> int:
    """Return how many characters at the end of `text` may still turn into another one."""
    trailing = len(text) - len(text.rstrip(REPLACEMENT))
    return min(trailing, _MOST_UNFINISHED)
