"""Does long-form jobs: takes one window after the other through the engine, and writes as it goes."""

import time
from collections.abc import Sequence

from quire.jobs import Claimed
from quire.pieces import Piece
from quire.spec import Spec
from worker.creative.longform.book import Book, Window
from worker.creative.longform.drawing import request
from worker.creative.longform.tokens import Tokenizes
from worker.engine import Delta
from worker.sequences import Sequences
from worker.writer import JobLog


class Novelist:
    """`context`: tokens that the model sees."""

    def __init__(self, tokenizer: Tokenizes, *, context: int) -> None:
        self._tokenizer = tokenizer
        self._context = context

    def write(
        self, job: Claimed, spec: Spec, written: Sequence[Piece], job_log: JobLog, sequences: Sequences
    ) -> None:
        """Write a book from where it stands to its end.

        Raises:
            EngineError: what the engine raised; what is written by then is in the log.

        """
        if spec.longform is None:
            raise ValueError("the job asks for no book")
        deadline = None if job.seconds_left is None else time.monotonic() + job.seconds_left
        book = Book(
            spec.longform, seed=job.seed, context=self._context, tokenizer=self._tokenizer, written=written
        )
        job_log.meter = lambda: sequences.work
        while (window := book.next()) is not None:
            pen = Pen(book, window, job_log)
            part = spec.longform.parts[window.part]
            asked = request(window, part, spec.parameters, scope=str(job.tenant_id), deadline=deadline)
            for _ in sequences.run({0: asked}, pen.take):
                pen.close()


class Pen:
    """Writes one window: what is settled at once, the rest when it is known where the part ends."""

    def __init__(self, book: Book, window: Window, job_log: JobLog) -> None:
        self._book = book
        self._window = window
        self._log = job_log
        self._left = window.settled - len(window.drawn)
        self._open: list[int] = []

    def take(self, _draw: int, delta: Delta) -> None:
        """Take what a step has drawn, on the engine's thread."""
        now = delta.tokens[: max(0, self._left)]
        self._left -= len(now)
        self._open += delta.tokens[len(now) :]
        if now:
            self._log.add(self._book.write(self._window, now))

    def close(self) -> None:
        """End the part, if it is to end with this window."""
        if self._window.last:
            self._log.add(self._book.end(self._window, self._open))
