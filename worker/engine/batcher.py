"""Which sequences run, where their keys and values lie, and which tokens the next step runs. Plain Python: no
torch, no thread, no clock.

A step runs one token of every sequence that is being continued, and at most so many tokens of prompts that it
stays short. Memory for all that a sequence may ever hold is reserved at its admission and
never overcommitted, so no running sequence can be short of it later. A beginning that is in memory already, of
whatever sequence, is shared and not computed again.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, Protocol, TypeVar

from worker.engine.blocks import BLOCK_TOKENS, Blocks, Place, blocks_for


class Item(Protocol):
    """A sequence, as far as the batcher needs to know it."""

    @property
    def ids(self) -> Sequence[int]:
        """The tokens that are known."""
        ...

    @property
    def length(self) -> int:
        """How many tokens there are: those known, and one more while a draw is under way."""
        ...

    @property
    def most_tokens(self) -> int:
        """How many tokens it may ever have."""
        ...

    @property
    def scope(self) -> str:
        """Only sequences of one scope share memory."""
        ...


T = TypeVar("T", bound=Item)


@dataclass(frozen=True, slots=True)
class Chunk(Generic[T]):
    """The tokens at positions `start` … `start + count - 1` of a sequence are run in this step.

    `draws`: the last of them is the sequence's last, so the step's logits draw its next token.
    """

    item: T
    slot: int
    start: int
    count: int
    draws: bool


@dataclass(slots=True)
class Plan(Generic[T]):
    """What a step runs: the last token of each of `texts`, which draws its next, and `prompts`.

    `slots`, `starts`: the slot and the position of each text's token. Columns, since there may be hundreds in a
    step of two milliseconds, and to make an object of each takes the host longer than all else it does for them.
    """

    texts: list[T] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    prompts: list[Chunk[T]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.texts or self.prompts)


@dataclass(slots=True)
class _Running(Generic[T]):
    """A sequence in `slot`, with `computed` tokens in memory; those in full blocks lead to `place`."""

    item: T
    slot: int
    blocks: list[int]
    place: Place
    known: int = 0  # blocks up to `place`
    computed: int = 0

    @property
    def pending(self) -> int:
        return self.item.length - self.computed


class Batcher(Generic[T]):
    """First come, first served. If the oldest waiting item does not fit, those behind it wait too.

    `tables`: for each slot the blocks of its sequence in order, `table_length` numbers of 32 bits.
    """

    def __init__(self, *, slots: int, blocks: int, longest: int) -> None:
        self.slots = slots
        self.table_length = blocks_for(longest)
        self.tables = array("i", bytes(4 * slots * self.table_length))
        self.blocks = Blocks(blocks)
        self.shared_tokens = 0  # tokens that were found in memory instead of computed
        self._waiting: deque[T] = deque()
        self._running: dict[int, _Running[T]] = {}  # by identity of the item, in order of admission
        self._free_slots = list(range(slots))[::-1]

    @property
    def running(self) -> Sequence[T]:
        return [entry.item for entry in self._running.values()]

    @property
    def waiting(self) -> Sequence[T]:
        return list(self._waiting)

    @property
    def counts(self) -> tuple[int, int]:
        """How many items run and how many wait; safe to read while another thread changes them."""
        return len(self._running), len(self._waiting)

    @property
    def reserved_tokens(self) -> int:
        """How many tokens the blocks in use hold."""
        return (self.blocks.count - self.blocks.free) * BLOCK_TOKENS

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running)

    def __iter__(self) -> Iterator[T]:
        """All items, running ones first."""
        yield from self.running
        yield from self._waiting

    def add(self, item: T) -> None:
        """Queue `item`; ValueError if it could never run."""
        if not 0 < item.most_tokens <= min(self.blocks.count, self.table_length) * BLOCK_TOKENS:
            raise ValueError(f"{item.most_tokens} tokens can never fit")
        self._waiting.append(item)

    def plan(self, prompt_tokens: int) -> Plan[T]:
        """Admit what fits and return the next step, with at most `prompt_tokens` of prompts.

        The step must be run: its tokens count as computed from now on.
        """
        plan: Plan[T] = Plan()
        for entry in chain(self._continue(plan), self._admissions()):
            if prompt_tokens <= 0:
                break
            self._find_computed(entry)
            count = min(entry.pending, prompt_tokens)
            plan.prompts.append(self._chunk(entry, count))
            prompt_tokens -= count
        return plan

    def release(self, item: T) -> bool:
        """Forget `item`, running or waiting; False if it is neither."""
        entry = self._running.pop(id(item), None)
        if entry is None:
            before = len(self._waiting)
            self._waiting = deque(other for other in self._waiting if other is not item)
            return len(self._waiting) < before
        for block in reversed(entry.blocks):  # so that the end of a text is taken before its beginning
            self.blocks.give_back(block)
        self._free_slots.append(entry.slot)
        return True

    def evict(self, item: T) -> bool:
        """Put a running `item` back behind all that wait; False if it does not run."""
        if id(item) not in self._running:
            return False
        self.release(item)
        self._waiting.append(item)
        return True

    def clear(self) -> list[T]:
        """Forget all items and return them."""
        items = list(self)
        for item in items:
            self.release(item)
        return items

    def _continue(self, plan: Plan[T]) -> list[_Running[T]]:
        """Plan a token of each text that is being continued; return who is still in its prompt."""
        prompts = []
        for entry in self._running.values():
            item, start = entry.item, entry.computed
            if item.length == start + 1:
                if start + 1 < item.most_tokens:
                    entry.computed = start + 1
                    if len(item.ids) >= (entry.known + 1) * BLOCK_TOKENS:
                        self._know_full(entry)
                    plan.texts.append(item)
                    plan.slots.append(entry.slot)
                    plan.starts.append(start)
            elif item.length > start:
                prompts.append(entry)
        return prompts

    def _admissions(self) -> Iterator[_Running[T]]:
        while self._waiting and (entry := self._admitted(self._waiting[0])):
            self._waiting.popleft()
            self._running[id(entry.item)] = entry
            yield entry

    def _admitted(self, item: T) -> _Running[T] | None:
        """Reserve a slot and memory for `item`; None if there is not enough."""
        found = self._beginning(item)
        own = blocks_for(item.most_tokens) - len(found)
        if not self._free_slots or own > self.blocks.free - sum(map(self.blocks.is_free, found)):
            return None
        for block in found:
            self.blocks.share(block)
        slot = self._free_slots.pop()
        blocks = [*found, *(self.blocks.take() for _ in range(own))]
        self.tables[slot * self.table_length : slot * self.table_length + len(blocks)] = array("i", blocks)
        place = self.blocks.name(found[-1]) if found else item.scope
        self.shared_tokens += len(found) * BLOCK_TOKENS
        return _Running(item, slot, blocks, place, len(found), len(found) * BLOCK_TOKENS)

    def _beginning(self, item: T) -> list[int]:
        """Return the blocks in memory that hold the beginning of `item`; its last token is always computed."""
        found: list[int] = []
        place: Place = item.scope
        while (block := self._next_found(item, place, len(found))) is not None:
            found.append(block)
            place = self.blocks.name(block)
        return found

    def _next_found(self, item: T, place: Place, index: int) -> int | None:
        end = (index + 1) * BLOCK_TOKENS
        if end >= item.length:
            return None
        return self.blocks.find(place, tuple(item.ids[end - BLOCK_TOKENS : end]))

    def _find_computed(self, entry: _Running[T]) -> None:
        """Share the next blocks if another sequence has computed them since the admission."""
        while entry.computed == entry.known * BLOCK_TOKENS:
            block = self._next_found(entry.item, entry.place, entry.known)
            if block is None:
                return
            self.blocks.share(block)
            self.blocks.give_back(entry.blocks[entry.known])
            entry.blocks[entry.known] = block
            self.tables[entry.slot * self.table_length + entry.known] = block
            entry.place = self.blocks.name(block)
            entry.known += 1
            entry.computed += BLOCK_TOKENS
            self.shared_tokens += BLOCK_TOKENS

    def _chunk(self, entry: _Running[T], count: int) -> Chunk[T]:
        start, entry.computed = entry.computed, entry.computed + count
        self._know_full(entry)
        return Chunk(entry.item, entry.slot, start, count, draws=not entry.pending)

    def _know_full(self, entry: _Running[T]) -> None:
        """Note what the full blocks of a sequence hold, as far as its tokens are known.

        As soon as they are planned: within a step, each layer writes before it reads.
        """
        ids = entry.item.ids
        while (end := (entry.known + 1) * BLOCK_TOKENS) <= min(entry.computed, len(ids)):
            tokens = tuple(ids[end - BLOCK_TOKENS : end])
            entry.place = self.blocks.know(entry.blocks[entry.known], entry.place, tokens)
            entry.known += 1
