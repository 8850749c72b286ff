"""The Celery application of a chaos run's workers: the product's, with an engine to which some prompts do harm.

`worker.app` looks up its Engine when the worker starts; it finds this one there. Nothing else is changed.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from chaos import counters
from chaos.works import BOOK, BOOK_PACE, PACE, POISON, RAISING, SLOW
from worker import app as product
from worker.engine import Delta, Engine, Finished, Request
from worker.engine.loading import LoadedModel


class FragileEngine(Engine):
    def __init__(self, loaded: LoadedModel, *, slots: int, kv_tokens: int | None = None) -> None:
        super().__init__(loaded, slots=slots, kv_tokens=kv_tokens)
        self._marks = {tuple(self.tokenizer.encode(prompt)): prompt for prompt in (POISON, RAISING, SLOW)}
        self._book = tuple(self.tokenizer.encode(f"{BOOK}\n\n"))
        self._counter = counters.Counter(Path(os.environ[counters.VARIABLE]))
        self._slow: dict[Future[Finished], float] = {}  # and how long a step lasts for it
        self._slow_lock = threading.Lock()

    def submit(self, request: Request, on_delta: Callable[[Delta], None]) -> Future[Finished]:
        mark = self._marks.get(request.prompt)
        if mark == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        if mark == RAISING:
            raise RuntimeError("this prompt asks for it")

        def count(delta: Delta) -> None:
            self._counter.add(len(delta.tokens))
            on_delta(delta)

        future = super().submit(request, count)
        is_book = request.prompt[: len(self._book)] == self._book
        if mark == SLOW or is_book:
            with self._slow_lock:
                self._slow[future] = BOOK_PACE if is_book else PACE
        return future

    def step(self) -> None:
        with self._slow_lock:
            self._slow = {future: pace for future, pace in self._slow.items() if not future.done()}
            pace = max(self._slow.values(), default=0.0)
        time.sleep(pace)
        super().step()


vars(product)["Engine"] = FragileEngine
app = product.app
