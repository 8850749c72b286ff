import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import decoders, pre_tokenizers
from transformers import AutoTokenizer

from worker.engine.errors import ModelRefused

# Scripts written without spaces: CJK symbols and punctuation, kana, ideographs, full-width forms.
_UNSPACED = (
    "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\u2014\u2018-\u201d\u2026"
)
_SPACE_BETWEEN_UNSPACED = re.compile(f"(?<=[{_UNSPACED}]) (?=[{_UNSPACED}])")


def _byte_letters() -> dict[str, int]:
    """Return the byte that each letter of byte-level tokens stands for.

    Letters below U+0100 stand for themselves; the others, in order, for the bytes that are left.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = {letter: ord(letter) for letter in letters if ord(letter) < 256}
    rest = sorted(set(range(256)) - set(own.values()))
    return own | dict(zip(letters[len(own) :], rest, strict=True))


_BYTES = _byte_letters()


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
    def token_bytes(self) -> Mapping[int, bytes] | None:
        """The bytes of each token, special ones empty; None if what a token adds depends on its neighbours."""
        if not isinstance(self._backend.decoder, decoders.ByteLevel):
            return None
        special = {i for i, token in self._backend.get_added_tokens_decoder().items() if token.special}
        tokens = self._backend.get_vocab(with_added_tokens=True)
        return {i: b"" if i in special else _bytes_of(token) for token, i in tokens.items()}

    @cached_property
    def texts(self) -> list[str]:
        """The text of each token by itself, special ones empty."""
        size = self._backend.get_vocab_size(with_added_tokens=True)
        return [self.decode([token]) for token in range(size)]

    def written(self) -> list[bytes]:
        """Return the bytes that each token writes, wherever it stands; b"" for special tokens.

        Empty if this tokenizer is not of the byte-level kind: what its tokens write depends on their neighbours.
        """
        of = self.token_bytes
        return [] if of is None else [of.get(token, b"") for token in range(max(of) + 1)]

    def serialise(self) -> str:
        """Return the text of tokenizer.json, from which the `tokenizers` library makes the same tokenizer."""
        return str(self._backend.to_str())


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


def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level token stands for (Radford et al. 2019).

    Printable characters of Latin-1 stand for themselves, those from U+0100 on for the other bytes in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _bytes_of(token: str) -> bytes:
    # An added token is written as it is.
    return bytes(_BYTES[c] for c in token) if _BYTES.keys() >= set(token) else token.encode()
