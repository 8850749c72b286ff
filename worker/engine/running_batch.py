from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass

from torch import Tensor

from worker.engine.batcher import Batcher
from worker.engine.errors import EngineCancelled
from worker.engine.gpt2 import Gpt2
from worker.engine.picking import advance, resumed_logprobs, row_of
from worker.engine.request import Finished
from worker.engine.sampler import Drawn, Row, draw
from worker.engine.sequence import RunningSequence
from worker.engine.tokenizer import Tokenizer

# A step admits prompts until it has prefilled this many tokens, so that running texts do not stall.
PREFILL_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Step:
    """What one decode step gave: logits (batch, vocabulary), and a draw or its failure for each slot."""

    logits: Tensor
    drawn: Sequence[Drawn | Exception]


class RunningBatch:
    """The sequences of an engine and the cache they share; touched by the engine's thread alone."""

    def __init__(self, model: Gpt2, tokenizer: Tokenizer, *, slots: int, token_budget: int) -> None:
        self.tokens_prefilled = 0
        self._model = model
        self._tokenizer = tokenizer
        self._cache = model.new_cache(slots, model.weights.shape.context)
        self.batcher: Batcher[RunningSequence] = Batcher(slots=slots, token_budget=token_budget)

    def add(self, sequence: RunningSequence) -> None:
        self.batcher.add(sequence, sequence.most_tokens)

    def cancel(self, futures: AbstractSet[Future[Finished]]) -> None:
        """Remove the sequences of `futures`, running or waiting; the futures get EngineCancelled."""
        for slot, sequence in self._from_last_slot():
            if sequence.future in futures:
                self._release(slot)
                sequence.future.set_exception(EngineCancelled())
        for sequence in self.batcher.waiting:
            if sequence.future in futures:
                self.batcher.withdraw(sequence)
                sequence.future.set_exception(EngineCancelled())

    def admit(self) -> None:
        """Give waiting sequences slots and prefill them, up to about PREFILL_TOKENS tokens."""
        before = self.tokens_prefilled
        while self.tokens_prefilled - before < PREFILL_TOKENS and (admitted := self.batcher.admit()):
            sequence, slot = admitted
            try:
                self._prefill(sequence, slot)
                if sequence.reason is not None:
                    sequence.on_delta(sequence.delta((), ()))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
                self._fail(slot, error)
            else:
                self._release_if_ended(slot)

    def decode(self) -> Step:
        """Run one token of every running sequence and draw its next."""
        running = self.batcher.running
        tokens, positions = [s.ids[-1] for s in running], [len(s.ids) - 1 for s in running]
        logits = self._model.decode(self._cache, tokens, positions)
        return Step(logits, self._draw(logits, [row_of(s) for s in running]))

    def deliver(self, step: Step) -> None:
        """Hand every sequence its token and its caller the new text; free the slots of those that ended."""
        for slot, sequence in self._from_last_slot():
            drawn = step.drawn[slot]
            if isinstance(drawn, Exception):
                self._fail(slot, drawn)
                continue
            try:
                sequence.on_delta(advance(sequence, step.logits[slot], drawn, self._tokenizer))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
                self._fail(slot, error)
            else:
                self._release_if_ended(slot)

    def _draw(self, logits: Tensor, rows: Sequence[Row]) -> Sequence[Drawn | Exception]:
        """Draw for all rows at once; if that fails, row by row, so that only the row at fault fails.

        Raises what happened if every row fails: then it is no row's fault.
        """
        try:
            return draw(logits, rows, self._tokenizer.end_ids)
        except Exception as error:
            drawn = [self._draw_one(logits[i : i + 1], row) for i, row in enumerate(rows)]
            if len(rows) > 1 and all(isinstance(one, Exception) for one in drawn):
                raise error from None
            return drawn

    def _draw_one(self, logits: Tensor, row: Row) -> Drawn | Exception:
        try:
            return draw(logits, [row], self._tokenizer.end_ids)[0]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's alone
            return error

    def _from_last_slot(self) -> Sequence[tuple[int, RunningSequence]]:
        # A released slot is filled by the last one, so in this order each has its turn once.
        return list(enumerate(self.batcher.running))[::-1]

    def _prefill(self, sequence: RunningSequence, slot: int) -> None:
        """Write all tokens but the last, which the next decode step runs."""
        ids, resumed = sequence.ids[:-1], sequence.generated
        if not ids:
            return
        hidden = self._model.prefill(self._cache, slot, 0, ids)
        sequence.record(resumed_logprobs(self._model, hidden[len(ids) - len(resumed) :], resumed))
        self.tokens_prefilled += len(ids)

    def _release_if_ended(self, slot: int) -> None:
        sequence = self.batcher.running[slot]
        if sequence.reason is not None:
            self._release(slot)
            sequence.future.set_result(sequence.finished())

    def _release(self, slot: int) -> None:
        move = self.batcher.release(slot)
        if move is not None:
            moved = self.batcher.running[move.target]
            self._cache.move(move.source, move.target, len(moved.ids))

    def _fail(self, slot: int, error: Exception) -> None:
        future = self.batcher.running[slot].future
        self._cache.clear(slot)
        self._release(slot)
        future.set_exception(error)
