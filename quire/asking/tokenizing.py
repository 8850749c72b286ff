"""Counting tokens exactly as the workers do, with the tokenizer that a worker registered."""

import threading
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session
from tokenizers import Tokenizer, decoders

from quire.store import Model

KEPT = 16  # tokenizers; one holds some tens of megabytes


class Counting:
    """The tokens of texts, as the workers of a model see them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the first and last+1 character of each token of a text."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

    def text_of(self, tokens: Sequence[int]) -> str | None:
        """Return the text of which a model sees these tokens; None if there is none."""
        try:
            text = str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))
        except OverflowError:  # no token has such a number
            return None
        seen = self._tokenizer.encode(text, add_special_tokens=False).ids
        return text if seen == list(tokens) else None

    def can_write(self, text: str) -> bool:
        """Whether there are tokens that write this text to the letter, whatever stands beside them."""
        if not isinstance(self._tokenizer.decoder, decoders.ByteLevel):
            return False
        return bool(self._tokenizer.decode(self._tokenizer.encode(text, add_special_tokens=False).ids) == text)


class Tokenizers:
    """Tokenizers by their digest, each read from Postgres once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_digest: dict[str, Tokenizer] = {}

    def of(self, session: Session, name: str, digest: str) -> "Counting":
        with self._lock:
            tokenizer = self._by_digest.get(digest)
        if tokenizer is None:
            # Read together, because the model may have been registered anew a moment ago.
            both = select(Model.tokenizer_digest, Model.tokenizer).where(Model.name == name)
            tokenizer = self._keep(*session.execute(both).one())
        return Counting(tokenizer)

    def _keep(self, digest: str, source: str) -> Tokenizer:
        tokenizer = Tokenizer.from_str(source)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # what a user writes is text, also where it looks like one
        with self._lock:
            while len(self._by_digest) >= KEPT:
                del self._by_digest[next(iter(self._by_digest))]
            return self._by_digest.setdefault(digest, tokenizer)
