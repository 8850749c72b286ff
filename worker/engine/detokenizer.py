"""The text of a growing list of token ids: a function of the ids alone, and never half a character."""

import codecs
from collections.abc import Mapping, Sequence
from typing import Protocol

REPLACEMENT = "\ufffd"
# An unfinished character is at most three bytes, and some decoders write one replacement for each.
_MOST_UNFINISHED = 3
# How many tokens of context are decoded again, so that spacing between words comes out right.
_CONTEXT = 4
_LONGEST_WINDOW = 16

_Utf8 = codecs.getincrementaldecoder("utf-8")


class Detokenizer(Protocol):
    def push(self, tokens: Sequence[int]) -> str:
        """Add tokens; return the text that became certain."""
        ...

    def peek(self, token: int) -> str:
        """Return the text that `push([token])` would make appear, an unfinished character included."""
        ...

    def flush(self) -> str:
        """Return what is held back, at the end of a text: an unfinished character comes out as U+FFFD."""
        ...


class Decodes(Protocol):
    """What is asked of a tokenizer."""

    @property
    def token_bytes(self) -> Mapping[int, bytes] | None: ...
    def decode(self, ids: Sequence[int]) -> str: ...


def detokenizer(tokenizer: Decodes, prompt: Sequence[int]) -> Detokenizer:
    """Return a detokenizer for what follows `prompt`."""
    of_bytes = tokenizer.token_bytes
    return _OfText(tokenizer, prompt) if of_bytes is None else _OfBytes(of_bytes, prompt)


class _OfBytes:
    """For tokens that are bytes: those of a text are those of its tokens, one after the other."""

    def __init__(self, token_bytes: Mapping[int, bytes], prompt: Sequence[int]) -> None:
        self._of = token_bytes.get
        self._decoder = _Utf8(errors="replace")
        # A character may begin in the prompt.
        self.push(prompt[-_CONTEXT:])

    def push(self, tokens: Sequence[int]) -> str:
        of = self._of
        return self._decoder.decode(b"".join([of(token, b"") for token in tokens]))

    def peek(self, token: int) -> str:
        begun, _ = self._decoder.getstate()
        return (begun + self._of(token, b"")).decode("utf-8", errors="replace")

    def flush(self) -> str:
        return self._decoder.decode(b"", final=True)


class _OfText:
    """For tokens whose text depends on their neighbours, as that of word pieces does: decodes a window again."""

    def __init__(self, tokenizer: Decodes, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._window = list(prompt[-_CONTEXT:])
        # How many characters of the window's text came before or were emitted.
        self._emitted = len(self._tokenizer.decode(self._window).rstrip(REPLACEMENT))

    def push(self, tokens: Sequence[int]) -> str:
        # One by one: a token may change the text of those before it, which then must not have been emitted.
        return "".join([self._push(token) for token in tokens])

    def _push(self, token: int) -> str:
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
        return self._tokenizer.decode([*self._window, token])[self._emitted :]

    def flush(self) -> str:
        text = self._tokenizer.decode(self._window)
        held = text[self._emitted :]
        self._emitted = max(self._emitted, len(text))
        return held


def _unfinished(text: str) -> int:
    """Return how many characters at the end of `text` may still turn into another one."""
    trailing = len(text) - len(text.rstrip(REPLACEMENT))
    return min(trailing, _MOST_UNFINISHED)
