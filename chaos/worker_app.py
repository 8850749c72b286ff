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
from chaos.works import PACE, POISON, RAISING, SLOW
from worker import app as product
from worker.engine import Delta, Engine, Finished, Request
from worker.engine.loading import LoadedModel


class FragileEngine(Engine):
    def __init__(self, loaded: LoadedModel, *, slots: int, kv_tokens: int | None = None) -> None:
        super().__init__(loaded, slots=slots, kv_tokens=kv_tokens)
        self._marks = {tuple(self.tokenizer.encode(prompt)): prompt for prompt in (POISON, RAISING, SLOW)}
        self._counter = counters.Counter(Path(os.environ[counters.VARIABLE]))
        self._slow: list[Future[Finished]] = []
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
        if mark == SLOW:
            with self._slow_lock:
                self._slow.append(future)
        return future

    def step(self) -> None:
        with self._slow_lock:
            self._slow = [future for future in self._slow if not future.done()]
            slow = bool(self._slow)
        if slow:
            time.sleep(PACE)
        super().step()


vars(product)["Engine"] = FragileEngine
app = product.app
