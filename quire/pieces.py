"""Pieces of text, and the entries of which they grow."""

from collections.abc import Iterable
from dataclasses import dataclass, field

CUT = "length"  # the finish of a piece that ended at its most tokens


@dataclass(frozen=True)
class Logprobs:
    """Log-probabilities of some tokens, natural logarithm, before any filter."""

    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float] = field(default_factory=list)
    top_logprobs: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """What one piece gained: token ids as drawn, and the text that is settled by them.

    The text may lag behind the ids, by half a character or by what may turn out to be a stop string.
    """

    piece: int
    ids: tuple[int, ...]
    text: str
    finish: str | None = None
    logprobs: Logprobs | None = None


@dataclass(frozen=True)
class Piece:
    """One piece as far as it is written."""

    index: int
    ids: tuple[int, ...] = ()
    text: str = ""
    finish: str | None = None
    logprobs: Logprobs | None = None


def fold(entries: Iterable[Entry]) -> list[Piece]:
    """Put each piece's entries together; pieces come in the order of their index."""
    parts: dict[int, list[Entry]] = {}
    for entry in entries:
        parts.setdefault(entry.piece, []).append(entry)
    return [_join(index, parts[index]) for index in sorted(parts)]


def is_cut(parts: Iterable[Entry | Piece]) -> bool:
    """Whether a piece ended at its most tokens."""
    return any(part.finish == CUT for part in parts)


def as_entries(pieces: Iterable[Piece]) -> list[Entry]:
    """Return the shortest log that folds into these pieces."""
    return [Entry(piece.index, piece.ids, piece.text, piece.finish, piece.logprobs) for piece in pieces]


def _join(index: int, entries: list[Entry]) -> Piece:
    logprobs = [entry.logprobs for entry in entries if entry.logprobs]
    return Piece(
        index,
        tuple(token for entry in entries for token in entry.ids),
        "".join(entry.text for entry in entries),
        next((entry.finish for entry in reversed(entries) if entry.finish), None),
        Logprobs(
            [token for part in logprobs for token in part.tokens],
            [value for part in logprobs for value in part.token_logprobs],
            [top for part in logprobs for top in part.top_logprobs],
        )
        if logprobs
        else None,
    )
