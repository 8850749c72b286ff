"""The sequences of an engine, and the steps that take them forward."""

import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import isnan

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.batcher import Batcher, Chunk
from worker.engine.blocks import BLOCK_TOKENS
from worker.engine.errors import EngineCancelled, EngineError, EngineExpired
from worker.engine.gpt2 import Gpt2
from worker.engine.picking import advance, row_of
from worker.engine.request import Delta, Finished
from worker.engine.rows import UNKNOWN, Rows
from worker.engine.sampler import Drawn, Row
from worker.engine.sequence import RunningSequence
from worker.engine.tokenizer import Tokenizer

# A step runs so many tokens of prompts at most, so that running texts do not stall.
PROMPT_TOKENS = 256
# Where the host is slower than the device it delivers several tokens at once, but at most so many, which is what
# a block of the memory holds.
MOST_KEPT = BLOCK_TOKENS

Mask = NDArray[np.bool_] | None


@dataclass(slots=True)
class Counts:
    """What the steps did so far; seconds are shared out by rows."""

    steps: int = 0
    decoded: int = 0
    prefilled: int = 0
    evictions: int = 0
    decode_seconds: float = 0.0
    prefill_seconds: float = 0.0


class RunningBatch:
    """Touched by the engine's thread alone."""

    def __init__(self, model: Gpt2, tokenizer: Tokenizer, *, slots: int, blocks: int) -> None:
        self.counts = Counts()
        self.batcher: Batcher[RunningSequence] = Batcher(slots=slots, blocks=blocks, longest=model.shape.context)
        self._model = model
        self._tokenizer = tokenizer
        self._cache = model.new_cache(blocks)
        self._flight: _Flight | None = None
        self._patience = 1  # how many tokens of a plain text are kept before they are delivered
        self._masks = ThreadPoolExecutor(1, thread_name_prefix="constraints")

    def add(self, sequence: RunningSequence) -> None:
        """Queue a sequence; one whose resumed tokens hold its end is finished at once."""
        if sequence.reason is None:
            self.batcher.add(sequence)
            return
        try:
            sequence.on_delta(sequence.delta((), ()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
            sequence.future.set_exception(error)
        else:
            sequence.future.set_result(sequence.finished())

    def cancel(self, futures: AbstractSet[Future[Finished]]) -> None:
        """Remove the sequences of `futures`, running or waiting; the futures get EngineCancelled."""
        self._remove(lambda sequence: sequence.future in futures, EngineCancelled)

    def expire(self, now: float) -> None:
        """Remove the sequences whose deadline is not after `now`; their futures get EngineExpired."""
        self._remove(
            lambda sequence: (deadline := sequence.request.deadline) is not None and deadline <= now, EngineExpired
        )

    def evict(self, futures: AbstractSet[Future[Finished]]) -> None:
        """Put the running sequences of `futures` back behind all that wait."""
        self._land()
        for sequence in self.batcher.running:
            if sequence.future in futures and self._settle(sequence):
                self.counts.evictions += self.batcher.evict(sequence)

    def step(self) -> None:
        """Run the next tokens of prompts and texts together, draw, and deliver what was drawn.

        With lookahead, what is delivered is the step before, while the device computes this one.
        """
        begun = time.perf_counter()
        chunks = self.batcher.plan(PROMPT_TOKENS)
        flight = self._launch(chunks) if chunks else None
        if self._model.backend.lookahead:
            self._land()
        self._flight = flight
        if not self._model.backend.lookahead:
            self._land()
        seconds = time.perf_counter() - begun
        self._patience = min(MOST_KEPT, max(1, int(self._model.backend.delivery_seconds / seconds)))
        self._count(chunks, seconds)

    def close(self) -> None:
        self._masks.shutdown()

    def _launch(self, chunks: Sequence[Chunk[RunningSequence]]) -> "_Flight":
        drawing = [chunk for chunk in chunks if chunk.draws]
        masks = self._masks.submit(_allowed, drawing) if any(c.item.constraint for c in drawing) else None
        logits = self._model.forward(self._rows(chunks), self._cache)
        allowed = masks.result() if masks else [None] * len(drawing)
        rows = [
            row_of(chunk.item, chunk.slot, None if isinstance(mask, Exception) else mask)
            for chunk, mask in zip(drawing, allowed, strict=True)
        ]
        drawn = self._draw(logits, rows)
        if self._model.backend.lookahead and any(chunk.item.sampling.banned for chunk in drawing):
            logits = logits.clone()  # the next pass is begun before it shows whether a token is to be drawn again
        for chunk in drawing:
            chunk.item.begin()
        return _Flight([chunk.item for chunk in drawing], logits, rows, allowed, drawn)

    def _land(self) -> None:
        """Hand every sequence its token and its caller the new text; those that end leave."""
        flight, self._flight = self._flight, None
        if flight is None or not flight.sequences:
            return
        turn, patience = self.counts.steps, self._patience
        for i, (sequence, drawn) in enumerate(zip(flight.sequences, flight.drawn(), strict=True)):
            if sequence.over:  # it ended one step ago, when this one had begun
                continue
            if not sequence.plain or isinstance(drawn, Exception) or drawn.token is None or isnan(drawn.logprob):
                if self._settle(sequence):
                    self._deliver(sequence, partial(self._advanced, sequence, flight, i, drawn))
            # By slots in turn, so that not all are delivered in one step.
            elif sequence.note(drawn.token, drawn.logprob) or (turn + flight.rows[i].slot) % patience == 0:
                self._deliver(sequence, sequence.take_in)

    def _advanced(self, sequence: RunningSequence, flight: "_Flight", i: int, drawn: Drawn | Exception) -> Delta:
        """Give a sequence its next token, with all that its request asks of it."""
        mask = flight.allowed[i]
        if isinstance(mask, Exception):
            raise mask
        if isinstance(drawn, Exception):
            raise drawn
        again = partial(self._draw_again, flight.logits[i : i + 1], flight.rows[i])
        return advance(sequence, drawn, again, self._tokenizer)

    def _settle(self, sequence: RunningSequence) -> bool:
        """Deliver what is kept of a sequence; False if it has left, because that could not be delivered."""
        return not sequence.kept or self._deliver(sequence, sequence.take_in)

    def _deliver(self, sequence: RunningSequence, new: Callable[[], Delta]) -> bool:
        """Hand the caller of a sequence what is new; False if that ended it, or failed, and it has left."""
        try:
            sequence.on_delta(new())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
            self._leave(sequence)
            sequence.future.set_exception(error)
        else:
            if sequence.reason is not None:
                self._leave(sequence)
                sequence.future.set_result(sequence.finished())
        return not sequence.over

    def _leave(self, sequence: RunningSequence) -> None:
        self.batcher.release(sequence)
        sequence.over = True

    def _rows(self, chunks: Sequence[Chunk[RunningSequence]]) -> Rows:
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        wanted: list[int] = []
        for chunk in chunks:
            sequence, slot, start, count = chunk.item, chunk.slot, chunk.start, chunk.count
            if count == 1:
                tokens.append(sequence.ids[start] if start < len(sequence.ids) else UNKNOWN)
                positions.append(start)
                slots.append(slot)
            else:
                tokens += sequence.ids[start : start + count]
                positions += range(start, start + count)
                slots += [slot] * count
            if chunk.draws:
                wanted.append(len(tokens) - 1)
        return Rows(tokens, positions, slots, wanted, self.batcher.tables, self.batcher.table_length)

    def _draw(self, logits: Tensor, rows: Sequence[Row]) -> Callable[[], Sequence[Drawn | Exception]]:
        """Draw for all rows at once; if that fails, row by row, so that only the row at fault fails.

        What is returned raises what happened if every row fails: then it is no row's fault.
        """
        if not rows:
            return list
        try:
            waiting = self._model.backend.draw(logits, rows, self._tokenizer.end_ids)
        except Exception as error:
            drawn = [self._draw_one(logits[i : i + 1], row) for i, row in enumerate(rows)]
            if len(rows) > 1 and all(isinstance(one, Exception) for one in drawn):
                raise error from None
            return lambda: drawn
        return waiting

    def _draw_one(self, logits: Tensor, row: Row) -> Drawn | Exception:
        try:
            return self._model.backend.draw(logits, [row], self._tokenizer.end_ids)()[0]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
            return error

    def _draw_again(self, logits: Tensor, row: Row, masked: tuple[int, ...]) -> Drawn:
        return self._model.backend.draw(logits, [row._replace(masked=masked)], self._tokenizer.end_ids)()[0]

    def _remove(self, chosen: Callable[[RunningSequence], bool], error: type[EngineError]) -> None:
        sequences = [sequence for sequence in self.batcher if chosen(sequence)]
        if sequences:
            self._land()
        for sequence in sequences:
            if not sequence.over and self._settle(sequence):
                self._leave(sequence)
                sequence.future.set_exception(error())

    def _count(self, chunks: Sequence[Chunk[RunningSequence]], seconds: float) -> None:
        # The first draw of a text is made with the last token of its prompt, which counts as prompt; and so do the
        # tokens of an evicted or resumed text that are computed again.
        rows = prompt_rows = draws = 0
        for chunk in chunks:
            rows += chunk.count
            draws += chunk.draws
            if chunk.count > 1 or not chunk.draws or chunk.start < chunk.item.prompt_length:
                prompt_rows += chunk.count
        if not rows:
            return
        counts = self.counts
        counts.steps += 1
        counts.decoded += draws
        counts.prefilled += prompt_rows
        counts.prefill_seconds += seconds * prompt_rows / rows
        counts.decode_seconds += seconds * (rows - prompt_rows) / rows


@dataclass(frozen=True, slots=True)
class _Flight:
    """A step that was begun: whose draws are under way, from which logits, and how to wait for them."""

    sequences: Sequence[RunningSequence]
    logits: Tensor
    rows: Sequence[Row]
    allowed: Sequence[Mask | Exception]
    drawn: Callable[[], Sequence[Drawn | Exception]]


def _allowed(chunks: Sequence[Chunk[RunningSequence]]) -> list[Mask | Exception]:
    """Ask the constraint of every chunk's sequence; one that fails gives its error."""
    masks: list[Mask | Exception] = []
    for chunk in chunks:
        constraint = chunk.item.constraint
        try:
            masks.append(constraint.allowed() if constraint else None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
            masks.append(error)
    return masks
