"""The sequences of an engine, and the steps that take them forward."""

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isnan

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.batcher import Batcher, Plan
from worker.engine.blocks import BLOCK_TOKENS
from worker.engine.errors import EngineCancelled, EngineError, EngineExpired
from worker.engine.gpt2 import Gpt2
from worker.engine.picking import advance
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
        self._next_deadline = inf
        self._patience = 1  # how many tokens of a plain text are kept before they are delivered
        self._masks = ThreadPoolExecutor(1, thread_name_prefix="constraints")

    def add(self, sequence: RunningSequence) -> None:
        """Queue a sequence; one whose resumed tokens hold its end is finished at once."""
        if sequence.reason is None:
            self.batcher.add(sequence)
            self._next_deadline = min(self._next_deadline, sequence.deadline)
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
        if now >= self._next_deadline:
            self._remove(lambda sequence: sequence.deadline <= now, EngineExpired)
            self._next_deadline = min((sequence.deadline for sequence in self.batcher), default=inf)

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
        plan = self.batcher.plan(PROMPT_TOKENS)
        flight = self._launch(plan) if plan else None
        if self._model.backend.lookahead:
            self._land()
        self._flight = flight
        if not self._model.backend.lookahead:
            self._land()
        seconds = time.perf_counter() - begun
        self._patience = min(MOST_KEPT, max(1, int(self._model.backend.delivery_seconds / seconds)))
        self._count(plan, seconds)

    def close(self) -> None:
        self._masks.shutdown()

    def _launch(self, plan: Plan[RunningSequence]) -> "_Flight":
        drawing = [chunk for chunk in plan.prompts if chunk.draws]
        sequences = [*plan.texts, *[chunk.item for chunk in drawing]]
        slots = [*plan.slots, *[chunk.slot for chunk in drawing]]
        special = [sequence for sequence in sequences if not sequence.plain]
        masks = self._masks.submit(_allowed, sequences) if any(s.constraint for s in special) else None
        logits = self._model.forward(self._rows(plan), self._cache)
        allowed = masks.result() if masks else {}
        rows = [s.row(slot) for s, slot in zip(sequences, slots, strict=True)]
        for i, mask in allowed.items():
            if not isinstance(mask, Exception):
                rows[i].allowed = mask
        drawn = self._draw(logits, rows)
        if self._model.backend.lookahead and any(s.sampling.banned for s in special):
            logits = logits.clone()  # the next pass is begun before it shows whether a token is to be drawn again
        for sequence in sequences:
            sequence.length += sequence.goes_on_blind
        return _Flight(sequences, logits, rows, allowed, drawn)

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
        if isinstance(failed := flight.allowed.get(i), Exception):
            raise failed
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

    def _rows(self, plan: Plan[RunningSequence]) -> Rows:
        tokens = [
            ids[start] if start < len(ids := text.ids) else UNKNOWN
            for text, start in zip(plan.texts, plan.starts, strict=True)
        ]
        positions, slots, wanted = plan.starts.copy(), plan.slots.copy(), list(range(len(tokens)))
        for chunk in plan.prompts:
            end = chunk.start + chunk.count
            tokens += chunk.item.ids[chunk.start : end]
            positions += range(chunk.start, end)
            slots += [chunk.slot] * chunk.count
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
        return self._model.backend.draw(logits, [replace(row, masked=masked)], self._tokenizer.end_ids)()[0]

    def _remove(self, chosen: Callable[[RunningSequence], bool], error: type[EngineError]) -> None:
        sequences = [sequence for sequence in self.batcher if chosen(sequence)]
        if sequences:
            self._land()
        for sequence in sequences:
            if not sequence.over and self._settle(sequence):
                self._leave(sequence)
                sequence.future.set_exception(error())

    def _count(self, plan: Plan[RunningSequence], seconds: float) -> None:
        # The first draw of a text is made with the last token of its prompt, which counts as prompt; and so do the
        # tokens of an evicted or resumed text that are computed again.
        prompted = sum(chunk.count for chunk in plan.prompts)
        rows = len(plan.texts) + prompted
        if not rows:
            return
        first = sum([start < text.prompt_length for text, start in zip(plan.texts, plan.starts, strict=True)])
        counts = self.counts
        counts.steps += 1
        counts.decoded += len(plan.texts) + sum(chunk.draws for chunk in plan.prompts)
        counts.prefilled += prompted + first
        counts.prefill_seconds += seconds * (prompted + first) / rows
        counts.decode_seconds += seconds * (len(plan.texts) - first) / rows


@dataclass(frozen=True, slots=True)
class _Flight:
    """A step that was begun: whose draws are under way, from which logits, and how to wait for them."""

    sequences: Sequence[RunningSequence]
    logits: Tensor
    rows: Sequence[Row]
    allowed: Mapping[int, Mask | Exception]
    drawn: Callable[[], Sequence[Drawn | Exception]]


def _allowed(sequences: Sequence[RunningSequence]) -> dict[int, Mask | Exception]:
    """Ask the constraint of each sequence that has one; one that fails gives its error."""
    masks: dict[int, Mask | Exception] = {}
    for i, sequence in enumerate(sequences):
        if sequence.constraint:
            try:
                masks[i] = sequence.constraint.allowed()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
                masks[i] = error
    return masks
