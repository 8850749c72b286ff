"""The engine: one model, one thread, and a loop of three verbs.

    admit    waiting requests get a slot and memory for all they may ever hold
    decode   one token for every running sequence, and a bounded number of tokens of prompts, in one batch
    deliver  new text goes to its caller; what has ended leaves its slot

Errors: one in a request's admission, draw or callback fails its future alone. One in the shared forward pass
cannot be blamed on a request, and leaves memory in a state that nobody knows: the thread dies, every future gets
EngineDead, and `dead` holds the cause. Whoever runs the engine starts the process anew.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Self

from worker.engine.blocks import BLOCK_TOKENS, blocks_for
from worker.engine.errors import EngineDead, EngineError, EngineStopped
from worker.engine.loading import LoadedModel, load_model
from worker.engine.request import Delta, EngineStats, Finished, Request, check_request
from worker.engine.running_batch import RunningBatch
from worker.engine.sequence import RunningSequence
from worker.engine.weights import read_shape

logger = logging.getLogger(__name__)


class Engine:
    """Runs requests of one model in a common batch; made by `load`, then `start`ed."""

    def __init__(self, loaded: LoadedModel, *, slots: int, kv_tokens: int | None = None) -> None:
        shape = loaded.model.shape
        self.tokenizer = loaded.tokenizer
        self.numerics = loaded.numerics
        self.context_length = shape.context
        self.vocab_size = shape.vocabulary
        self.slots = slots
        self.dead: BaseException | None = None
        blocks = _blocks(shape.context, slots, kv_tokens)
        self._token_budget = blocks * BLOCK_TOKENS
        self._batch = RunningBatch(loaded.model, loaded.tokenizer, slots=slots, blocks=blocks)
        self._arrived: list[RunningSequence] = []
        self._cancelled: set[Future[Finished]] = set()
        self._evicted: set[Future[Finished]] = set()
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @classmethod
    def load(
        cls,
        source: str,
        *,
        slots: int,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        spins: int | None = None,
        kv_tokens: int | None = None,
    ) -> Self:
        """Load a checkpoint (local folder or hub id) and run its self-test; the engine is not yet started.

        `slots`: most sequences at once. `kv_tokens`: how many tokens all of them together may reserve, `slots`
        full contexts if not given. `device`, `precision` and `threads` are those of `load_model`; `spins`: how
        often a waiting thread looks again before it sleeps.
        Raises ModelRefused with one sentence that says why the checkpoint cannot be run here.
        """
        shape, _ = read_shape(source)
        loaded = load_model(
            source,
            kv_blocks=_blocks(shape.context, slots, kv_tokens),
            device=device,
            precision=precision,
            threads=threads,
            spins=spins,
        )
        return cls(loaded, slots=slots, kv_tokens=kv_tokens)

    def start(self) -> None:
        # What has been loaded stays: to look through it for garbage would hold up steps by milliseconds.
        gc.freeze()
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current step; futures that are not done get EngineStopped."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._batch.close()
        self._fail_all(EngineStopped())

    def submit(self, request: Request, on_delta: Callable[[Delta], None]) -> Future[Finished]:
        """Queue `request`; from any thread. `on_delta` is called on the engine's thread and must be quick.

        Raises ValueError that names what is wrong with the request, EngineStopped and EngineDead.
        """
        check_request(
            request,
            vocabulary=self.vocab_size,
            context=self.context_length,
            token_budget=self._token_budget,
        )
        future: Future[Finished] = Future()
        future.set_running_or_notify_cancel()
        sequence = RunningSequence(request, self.tokenizer, future, on_delta)
        with self._changed:
            if self.dead is not None:
                raise EngineDead from self.dead
            if self._stopping:
                raise EngineStopped
            self._arrived.append(sequence)
            self._changed.notify()
        return future

    def cancel(self, future: Future[Finished]) -> None:
        """End the request at the next step: its future gets EngineCancelled, its slot and tokens are free.

        From any thread; does nothing if the future is done. A delta may still arrive before that step.
        """
        with self._changed:
            if not future.done():
                self._cancelled.add(future)
                self._changed.notify()

    def evict(self, future: Future[Finished]) -> None:
        """Make room: a running request gives up its slot and memory at the next step, and queues again.

        Its text is not changed by it. From any thread; does nothing if the request waits or is done.
        """
        with self._changed:
            self._evicted.add(future)
            self._changed.notify()

    def running(self) -> int:
        return self._batch.batcher.counts[0]

    def waiting(self) -> int:
        return len(self._arrived) + self._batch.batcher.counts[1]

    def stats(self) -> EngineStats:
        counts, batcher = self._batch.counts, self._batch.batcher
        return EngineStats(
            steps=counts.steps,
            tokens_decoded=counts.decoded,
            tokens_prefilled=counts.prefilled,
            tokens_shared=batcher.shared_tokens,
            prefill_seconds=counts.prefill_seconds,
            decode_seconds=counts.decode_seconds,
            evictions=counts.evictions,
            running=self.running(),
            waiting=self.waiting(),
            tokens_reserved=batcher.reserved_tokens,
            token_budget=self._token_budget,
        )

    def step(self) -> None:
        """Do one round of the loop. The thread calls it; a test may instead of starting the thread."""
        self._take_messages()
        self._batch.expire(time.monotonic())
        self._batch.step()

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self.step()
        except BaseException as error:
            logger.exception("engine_died")
            with self._changed:
                self.dead = error
            self._fail_all(EngineDead(), cause=error)

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do; False if that is to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._arrived or len(self._batch.batcher))
            return not self._stopping

    def _take_messages(self) -> None:
        with self._changed:
            arrived, self._arrived = self._arrived, []
            cancelled, self._cancelled = self._cancelled, set()
            evicted, self._evicted = self._evicted, set()
        for sequence in arrived:
            self._batch.add(sequence)
        if cancelled:
            self._batch.cancel(cancelled)
        if evicted:
            self._batch.evict(evicted)

    def _fail_all(self, error: EngineError, *, cause: BaseException | None = None) -> None:
        error.__cause__ = cause
        with self._changed:
            sequences = [*self._batch.batcher.clear(), *self._arrived]
            self._arrived = []
        for sequence in sequences:
            sequence.future.set_exception(error)


def _blocks(context: int, slots: int, kv_tokens: int | None) -> int:
    """Return how many blocks of KV memory there are to be: at least one."""
    tokens = slots * blocks_for(context) * BLOCK_TOKENS if kv_tokens is None else kv_tokens
    return max(1, tokens // BLOCK_TOKENS)
