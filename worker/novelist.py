"""Does long-form jobs: takes one window after the other through the engine, and writes as it goes."""

import time
from collections.abc import Sequence
from typing import Protocol

from quire.errors import BookFailed
from quire.jobs import Claimed
from quire.longform import Plan
from quire.pieces import Entry, Piece
from quire.spec import Parameters, Spec
from worker.creative.longform.book import Book, Window
from worker.creative.longform.choosing import score
from worker.creative.longform.drawing import requests
from worker.creative.longform.loops import loops
from worker.creative.longform.tokens import Tokenizes
from worker.engine import Delta, Request
from worker.sequences import Sequences
from worker.writer import JobLog


class TakesEntries(Protocol):
    """What is written into: `worker.writer.JobLog`."""

    def add(self, *entries: Entry) -> None: ...


class Novelist:
    """`context`: tokens that the model sees; `vocabulary`: how many it has."""

    def __init__(self, tokenizer: Tokenizes, *, context: int, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self._vocabulary = vocabulary

    def write(
        self, job: Claimed, spec: Spec, written: Sequence[Piece], job_log: JobLog, sequences: Sequences
    ) -> None:
        """Write a book from where it stands to its end.

        Raises:
            EngineError: what the engine raised; what is written by then is in the log.
            BookFailed: nothing may come next.

        """
        plan = spec.longform
        if plan is None:
            raise ValueError("the job asks for no book")
        deadline = None if job.seconds_left is None else time.monotonic() + job.seconds_left
        book = Book(
            plan,
            seed=job.seed,
            context=self._context,
            tokenizer=self._tokenizer,
            written=written,
            before=spec.before,
        )
        job_log.meter = lambda: sequences.work
        while (window := book.next()) is not None:
            pen = Pen(book, window, job_log)
            draw_window(
                plan, window, spec.parameters, pen, sequences, self._tokenizer,
                vocabulary=self._vocabulary, scope=str(job.tenant_id), deadline=deadline,
            )  # fmt: skip


class Pen:
    """Writes one window: what is settled at once, the rest when it is known where the part ends."""

    def __init__(self, book: Book, window: Window, log: TakesEntries) -> None:
        self._book = book
        self._window = window
        self._log = log
        self._left = window.settled - len(window.drawn)
        self._open: list[int] = []

    def take(self, _draw: int, delta: Delta) -> None:
        """Take what a step has drawn, on the engine's thread."""
        self._log.add(*self._settled(delta.tokens))

    def close(self, tokens: Sequence[int] = ()) -> None:
        """Take the last tokens of the window, and end the part if it is to end with it: together or not at all.

        A window that was chosen among several would not be taken up as it is from a log that holds half of it.

        Raises:
            BookFailed: the window is shorter than it was to be, and would be asked for again and again.

        """
        entries = self._settled(tokens)
        if self._window.last and not self._left:
            entries.append(self._book.end(self._window, self._open))
        self._log.add(*entries)
        if self._left:
            raise BookFailed

    def _settled(self, tokens: Sequence[int]) -> list[Entry]:
        now = tokens[: self._left]
        self._left -= len(now)
        self._open += tokens[len(now) :]
        return [self._book.write(self._window, now)] if now else []


def draw_window(
    plan: Plan,
    window: Window,
    parameters: Parameters,
    pen: Pen,
    sequences: Sequences,
    tokenizer: Tokenizes,
    *,
    vocabulary: int,
    scope: str = "",
    deadline: float | None = None,
) -> None:
    """Write a window as its plan has it: as it comes; or the best of several, and anew if it closes a loop.

    Raises:
        EngineError: what the engine raised.
        BookFailed: see `Pen.close`.

    """

    def plan_of(retry: int) -> dict[int, Request]:
        return requests(
            window, plan.parts[window.part], parameters, plan.guard, vocabulary=vocabulary, retry=retry,
            scope=scope, deadline=deadline,
        )  # fmt: skip

    if not plan.guard.settles:
        for _ in sequences.run(plan_of(0), pen.take):
            pass
        pen.close()
        return
    for retry in range(plan.guard.retries + 1):
        tokens = _best(plan, window, plan_of(retry), sequences, tokenizer)
        if not loops(window.before, (*window.drawn, *tokens)):
            break
    pen.close(tokens)


def _best(
    plan: Plan, window: Window, draws: dict[int, Request], sequences: Sequences, tokenizer: Tokenizes
) -> tuple[int, ...]:
    """Run all draws of a window, and return the tokens of the best; of equals the earlier draw."""
    drawn: dict[int, list[int]] = {draw: [] for draw in draws}
    scores: dict[int, float] = {}
    for draw, finished in sequences.run(draws, lambda draw, delta: drawn[draw].extend(delta.tokens)):
        whole = [*window.drawn, *drawn[draw]]
        scores[draw] = score(
            window.before,
            whole,
            text=tokenizer.decode(whole),
            premise=plan.premise,
            mean_logprob=finished.mean_logprob,
        )
    return tuple(drawn[max(scores, key=lambda draw: (scores[draw], -draw))])
