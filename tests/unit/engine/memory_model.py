"""Texts and a memory in plain Python, to see what a batcher's steps do to them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from worker.engine import batcher as batcher_module
from worker.engine.batcher import Batcher, Chunk

PROMPT = tuple(range(40))  # two full blocks of 16 tokens, and eight

_STATES: dict[tuple[object, int], int] = {}


class Text:
    """A sequence as the batcher knows it; which tokens it will draw is fixed from the start.

    `spare`: how many more it might have drawn, had it not ended. `blind`: it goes on while a draw is under way.
    """

    def __init__(
        self, prompt: Sequence[int], drawn: Sequence[int], *, scope: str = "", spare: int = 0, blind: bool = True
    ) -> None:
        self.tokens = (*prompt, *drawn)
        # What the keys and values of a token follow from is all tokens up to it: a number for each such beginning.
        self.states = list(accumulate(self.tokens, _state, initial=scope))[1:]
        self.scope = scope
        self.most_tokens = len(self.tokens) + spare
        self.known = len(prompt)
        self.under_way = False
        self._blind = blind

    def __repr__(self) -> str:
        return f"Text({self.tokens}, {self.known} known)"

    @property
    def ids(self) -> Sequence[int]:
        return self.tokens[: self.known]

    @property
    def length(self) -> int:
        return self.known + (self.under_way and self._blind)

    @property
    def ended(self) -> bool:
        return self.known == len(self.tokens)


class Steps:
    """Runs texts through a batcher as an engine does, and checks after every step what must hold.

    `lookahead`: a step is planned before the draws of the one before are known.
    """

    def __init__(self, *, slots: int, blocks: int, longest: int, lookahead: bool = False) -> None:
        self.batcher: Batcher[Text] = Batcher(slots=slots, blocks=blocks, longest=longest)
        self.lookahead = lookahead
        self.running: list[Text] = []
        self.waiting: list[Text] = []
        self.computed: dict[Text, int] = {}
        self._memory: dict[tuple[int, int], int] = {}  # (block, offset) → state
        self._full: set[int] = set()  # states at the ends of all blocks that were filled
        self._forgotten = False  # whether a block was taken that held something
        self._flight: list[Text] = []

    @property
    def texts(self) -> list[Text]:
        return [*self.running, *self.waiting]

    def add(self, text: Text) -> Text:
        self.batcher.add(text)
        self.waiting.append(text)
        self._check_queues()
        return text

    def step(self, prompt_tokens: int) -> list[Chunk[Text]]:
        decoding = [text for text in self.running if self._pending(text) == 1 and text.length < text.most_tokens]
        computed_before = {(text, at) for text in self.running for at in range(self.computed[text])}
        places_before = {self._place(text, at) for text, at in computed_before}
        plan = self.batcher.plan(prompt_tokens)
        continued = zip(plan.texts, plan.slots, plan.starts, strict=True)
        chunks = [*(Chunk(text, slot, start, 1, draws=True) for text, slot, start in continued), *plan.prompts]
        self._admit({chunk.item: chunk.start for chunk in chunks})
        assert chunks or self._flight or not self.texts, "nothing happens although there is work"
        self._check_chunks(chunks, decoding, prompt_tokens)
        self._write(chunks, places_before)
        self.check_memory()
        self._check_full_use(prompt_tokens - sum(c.count for c in chunks if c.item not in decoding))
        self._draw(chunks)
        return chunks

    def release(self, text: Text) -> None:
        self._land()
        if text not in self.texts:
            return
        assert self.batcher.release(text)
        self._forget(text)
        self._check()

    def evict(self, text: Text) -> None:
        self._land()
        if text not in self.texts:
            return
        runs = text in self.running
        assert self.batcher.evict(text) == runs
        if runs:
            self._forget(text)
            self.waiting.append(text)
        self._check()

    def finish(self, prompt_tokens: int) -> None:
        """Go on until everything has ended; fails if that takes longer than it may."""
        texts = self.texts
        # Each step computes a token or lands a draw, and an evicted text begins anew.
        for _ in range(3 * sum(text.most_tokens for text in texts) + 1):
            if not self.texts:
                break
            self.step(prompt_tokens)
        assert not self.texts
        assert all(text.ended for text in texts)
        self.check_empty()

    def check_empty(self) -> None:
        blocks = self.batcher.blocks
        assert (len(self.batcher), self.batcher.reserved_tokens, blocks.free) == (0, 0, blocks.count)

    def check_memory(self) -> None:
        """Who holds what, and that each text finds nothing but its own tokens."""
        size, blocks = batcher_module.BLOCK_TOKENS, self.batcher.blocks
        tables = {text: self._table(text) for text in self.running}
        for text, table in tables.items():
            assert len(table) * size >= text.most_tokens > (len(table) - 1) * size
            assert len(set(table)) == len(table)
            assert all(self._memory[self._place(text, at)] == text.states[at] for at in range(self.computed[text]))
        held = Counter(block for table in tables.values() for block in table)
        assert [held[block] for block in range(blocks.count)] == blocks._holders
        assert len(held) == blocks.count - blocks.free
        assert self.batcher.reserved_tokens == len(held) * size
        for text, table in tables.items():
            for index, block in enumerate(table):
                if held[block] > 1:  # it is full, of this text's tokens
                    expected = text.states[index * size : (index + 1) * size]
                    assert [self._memory[block, offset] for offset in range(size)] == expected
        slots = [self.batcher._running[id(text)].slot for text in self.running]
        assert len(set(slots)) == len(slots)
        assert all(0 <= slot < self.batcher.slots for slot in slots)

    def _admit(self, starts: Mapping[Text, int]) -> None:
        """Take over who was admitted: some of the first that waited, in their order."""
        count = len(self.batcher.running) - len(self.running)
        admitted, self.waiting = self.waiting[:count], self.waiting[count:]
        self.running += admitted
        self._check_queues()
        for text in admitted:
            # Without a chunk, because the step's tokens have run out, it has what was found.
            found = starts.get(text, self.batcher._running[id(text)].computed)
            assert found % batcher_module.BLOCK_TOKENS == 0
            assert found < text.length
            self.computed[text] = found
            taken = self._table(text)[found // batcher_module.BLOCK_TOKENS :]
            self._forgotten |= any((block, 0) in self._memory for block in taken)

    def _check_queues(self) -> None:
        assert list(map(id, self.batcher.running)) == list(map(id, self.running))
        assert list(map(id, self.batcher.waiting)) == list(map(id, self.waiting))
        assert [id(text) for text in self.batcher] == [id(text) for text in self.texts]
        assert len(self.batcher) == len(self.texts)

    def _check_chunks(self, chunks: Iterable[Chunk[Text]], decoding: list[Text], prompt_tokens: int) -> None:
        chunk_of = {chunk.item: chunk for chunk in chunks}
        assert len(chunk_of) == len(list(chunks))
        assert all(text in chunk_of for text in decoding), "a text that draws is left out"
        assert sum(c.count for text, c in chunk_of.items() if text not in decoding) <= max(0, prompt_tokens)
        size = batcher_module.BLOCK_TOKENS
        for text, chunk in chunk_of.items():
            skipped = chunk.start - self.computed[text]
            assert chunk.slot == self.batcher._running[id(text)].slot
            assert skipped == 0 or (skipped > 0 and chunk.start % size == 0)
            assert chunk.start < chunk.start + chunk.count <= text.length
            assert chunk.draws == (chunk.start + chunk.count == text.length)
            found = chunk.start % size == 0 and chunk.start + size < text.length
            if found and text not in decoding and not self._forgotten:
                assert text.states[chunk.start + size - 1] not in self._full, "it is in memory and computed again"
            self.computed[text] = chunk.start + chunk.count
            self._full |= {
                text.states[end - 1] for end in range(size, min(self.computed[text], text.known) + 1, size)
            }

    def _write(self, chunks: Iterable[Chunk[Text]], computed_before: set[tuple[int, int]]) -> None:
        written: set[tuple[int, int]] = set()
        for chunk in chunks:
            for at in range(chunk.start, chunk.start + chunk.count):
                place, state = self._place(chunk.item, at), chunk.item.states[at]
                assert place not in written, "two texts write to one place"
                assert place not in computed_before, "somebody's keys and values are overwritten"
                written.add(place)
                self._memory[place] = state

    def _check_full_use(self, tokens_left: int) -> None:
        if tokens_left <= 0:
            return
        for text in self.running:
            assert self._pending(text) == 0 or text.length == text.most_tokens, "a prompt waits for no reason"
        if self.waiting and len(self.running) < self.batcher.slots:
            needed = -(-self.waiting[0].most_tokens // batcher_module.BLOCK_TOKENS)
            assert needed > self.batcher.blocks.free, "a text is not admitted for no reason"

    def _draw(self, chunks: Iterable[Chunk[Text]]) -> None:
        flight = [chunk.item for chunk in chunks if chunk.draws]
        if self.lookahead:
            self._land()
        self._flight = flight
        for text in flight:
            text.under_way = True
        if not self.lookahead:
            self._land()

    def _land(self) -> None:
        flight, self._flight = self._flight, []
        for text in flight:
            text.under_way = False
            if text in self.running:
                text.known += 1
                if text.ended:
                    assert self.batcher.release(text)
                    self._forget(text)
        self._check()

    def _forget(self, text: Text) -> None:
        if text in self.running:
            self.running.remove(text)
            del self.computed[text]
        else:
            self.waiting.remove(text)

    def _check(self) -> None:
        self._check_queues()
        self.check_memory()

    def _pending(self, text: Text) -> int:
        return text.length - self.computed[text]

    def _table(self, text: Text) -> list[int]:
        entry, length = self.batcher._running[id(text)], self.batcher.table_length
        start = entry.slot * length
        table = list(self.batcher.tables[start : start + len(entry.blocks)])
        assert table == entry.blocks
        return table

    def _place(self, text: Text, position: int) -> tuple[int, int]:
        index, offset = divmod(position, batcher_module.BLOCK_TOKENS)
        slot = self.batcher._running[id(text)].slot
        return self.batcher.tables[slot * self.batcher.table_length + index], offset


def batch(*, slots: int = 4, blocks: int = 32, lookahead: bool = False) -> Steps:
    return Steps(slots=slots, blocks=blocks, longest=128, lookahead=lookahead)


def text(prompt: Sequence[int] = PROMPT, *, draws: int = 3, scope: str = "", blind: bool = True) -> Text:
    return Text(prompt, range(1000, 1000 + draws), scope=scope, blind=blind)


def spans(chunks: Sequence[Chunk[Text]]) -> list[tuple[int, int]]:
    """Return for each chunk the positions it runs, from and up to."""
    return [(chunk.start, chunk.start + chunk.count) for chunk in chunks]


def _state(before: object, token: int) -> int:
    return _STATES.setdefault((before, token), len(_STATES))
