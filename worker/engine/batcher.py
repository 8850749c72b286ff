"""Which sequence runs in which slot. Plain Python: no torch, no thread, no clock.

Two rules. Slots are dense: the n running sequences hold slots 0 … n-1, so that a decode step reads a
plain slice of the cache. Tokens are reserved in full at admission (prompt + all it may generate) and the
budget is never overcommitted, so no running sequence can be short of memory later.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Move:
    """The sequence in slot `source` now belongs in slot `target`: its cache must be copied."""

    source: int
    target: int


class Batcher(Generic[T]):
    """First come, first served. If the oldest waiting item does not fit, those behind it wait too."""

    def __init__(self, *, slots: int, token_budget: int) -> None:
        self.slots = slots
        self.token_budget = token_budget
        self._waiting: deque[tuple[T, int]] = deque()
        self._running: list[tuple[T, int]] = []
        self._reserved = 0

    @property
    def running(self) -> Sequence[T]:
        """The running items; an item's index is its slot."""
        return [item for item, _ in self._running]

    @property
    def waiting(self) -> Sequence[T]:
        return [item for item, _ in self._waiting]

    @property
    def reserved_tokens(self) -> int:
        return self._reserved

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def __iter__(self) -> Iterator[T]:
        """All items, running ones first."""
        yield from self.running
        yield from self.waiting

    def add(self, item: T, tokens: int) -> None:
        """Queue `item`, which will hold at most `tokens` tokens; ValueError if it could never run."""
        if not 0 < tokens <= self.token_budget:
            raise ValueError(f"{tokens} tokens can never fit into a budget of {self.token_budget}")
        self._waiting.append((item, tokens))

    def admit(self) -> tuple[T, int] | None:
        """Move the oldest waiting item into the next slot and return both; None if it does not fit now."""
        if not self._waiting or len(self._running) == self.slots:
            return None
        item, tokens = self._waiting[0]
        if self._reserved + tokens > self.token_budget:
            return None
        self._waiting.popleft()
        self._running.append((item, tokens))
        self._reserved += tokens
        return item, len(self._running) - 1

    def release(self, slot: int) -> Move | None:
        """Free `slot`; the last running item fills the gap, which the returned move describes."""
        _, tokens = self._running[slot]
        self._reserved -= tokens
        last = self._running.pop()
        if slot == len(self._running):
            return None
        self._running[slot] = last
        return Move(source=len(self._running), target=slot)

    def withdraw(self, item: T) -> bool:
        """Take `item` out of the waiting queue; False if it is not there."""
        before = len(self._waiting)
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not item)
        return len(self._waiting) < before

    def clear(self) -> list[T]:
        """Forget everything and return what was there."""
        items = list(self)
        self._waiting.clear()
        self._running.clear()
        self._reserved = 0
        return items
