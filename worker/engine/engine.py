"""The engine: one model, one thread, and a loop of three verbs.

    admit    waiting requests get a slot and their prompt is prefilled, a bounded number of tokens a step
    decode   one token for every running sequence, in one batch
    deliver  new text goes to its caller; what has ended leaves its slot

Errors: one in a request's admission, draw or callback fails its future alone. One in the shared forward pass
cannot be blamed on a request, and leaves memory in a state that nobody knows: the thread dies, every future gets
EngineDead, and `dead` holds the cause. Whoever runs the engine starts the process anew.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Self

from worker.engine.errors import EngineDead, EngineError, EngineStopped
from worker.engine.loading import LoadedModel, load_model
from worker.engine.request import Delta, EngineStats, Finished, Request, check_request
from worker.engine.running_batch import RunningBatch
from worker.engine.sequence import RunningSequence

logger = logging.getLogger(__name__)


class Engine:
    """Runs requests of one model in a common batch; made by `load`, then `start`ed."""

    def __init__(self, loaded: LoadedModel, *, slots: int, context_tokens: int | None = None) -> None:
        shape = loaded.model.weights.shape
        self.tokenizer = loaded.tokenizer
        self.numerics = loaded.numerics
        self.context_length = shape.context
        self.vocab_size = shape.vocabulary
        self.slots = slots
        self.dead: BaseException | None = None
        self._token_budget = slots * shape.context if context_tokens is None else context_tokens
        self._batch = RunningBatch(loaded.model, loaded.tokenizer, slots=slots, token_budget=self._token_budget)
        self._arrived: list[RunningSequence] = []
        self._cancelled: set[Future[Finished]] = set()
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._steps = self._tokens_decoded = 0

    @classmethod
    def load(
        cls,
        source: str,
        *,
        slots: int,
        device: str = "auto",
        threads: int | None = None,
        context_tokens: int | None = None,
    ) -> Self:
        """Load a checkpoint (local folder or hub id) and run its self-test; the engine is not yet started.

        `slots`: most sequences at once. `context_tokens`: most tokens all of them together may reserve,
        `slots` full contexts if not given. `threads` is set for the whole process; None means one for a
        narrow model and torch's own choice for others.
        Raises ModelRefused with one sentence that says why the checkpoint cannot be run here.
        """
        loaded = load_model(source, slots=slots, device=device, threads=threads)
        return cls(loaded, slots=slots, context_tokens=context_tokens)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current step; futures that are not done get EngineStopped."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
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

    def running(self) -> int:
        return len(self._batch.batcher.running)

    def waiting(self) -> int:
        return len(self._arrived) + len(self._batch.batcher.waiting)

    def stats(self) -> EngineStats:
        return EngineStats(
            steps=self._steps,
            tokens_decoded=self._tokens_decoded,
            tokens_prefilled=self._batch.tokens_prefilled,
            running=self.running(),
            waiting=self.waiting(),
            tokens_reserved=self._batch.batcher.reserved_tokens,
            token_budget=self._token_budget,
        )

    def step(self) -> None:
        """Do one round of the loop. The thread calls it; a test may instead of starting the thread."""
        self._take_messages()
        self._batch.admit()
        running = self.running()
        if not running:
            return
        decoded = self._batch.decode()
        self._steps, self._tokens_decoded = self._steps + 1, self._tokens_decoded + running
        self._batch.deliver(decoded)

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
            self._changed.wait_for(
                lambda: self._stopping or self._arrived or self._cancelled or len(self._batch.batcher)
            )
            return not self._stopping

    def _take_messages(self) -> None:
        with self._changed:
            arrived, self._arrived = self._arrived, []
            cancelled, self._cancelled = self._cancelled, set()
        for sequence in arrived:
            self._batch.add(sequence)
        if cancelled:
            self._batch.cancel(cancelled)

    def _fail_all(self, error: EngineError, *, cause: BaseException | None = None) -> None:
        error.__cause__ = cause
        with self._changed:
            sequences = [*self._batch.batcher.clear(), *self._arrived]
            self._arrived = []
        for sequence in sequences:
            sequence.future.set_exception(error)
