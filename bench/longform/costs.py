"""What books cost: beside plain jobs of the same prompts and tokens, when they give way, and to who waits."""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import psycopg

from bench import provenance, report, section
from bench.engine.book import table
from bench.report import RESULTS, Figure
from bench.system import System, running
from quire.longform import Guard, Plan, PlannedPart
from quire.settings import REPOSITORY
from quire.spec import Parameters
from quire_client import Quire
from worker.creative.longform.book import Book
from worker.engine import Delta, Engine, Finished, Request
from worker.novelist import Pen, draw_window
from worker.sequences import Sequences

NAME = "longform_costs"
WRITER = "python -m bench.longform costs"
MODEL = "quire-english"
CHECKPOINT = REPOSITORY / "checkpoints" / MODEL
SLOTS = 16
TENANTS = 10
BOOKS = 50
PATIENCE = 1_800.0  # seconds
PROBE_PAUSE = 0.5  # seconds
PREEMPT_SECONDS = 2.0
MOMENTS = 100
# A worker commits the text of all its books at once, also of those that have just given way.
AGE = "SELECT extract(epoch FROM clock_timestamp() - max(created_at))::float8 FROM chunks"
PLAN = Plan(
    title="The Harbour",
    premise="A poem of the harbour, the winter night, and the sailor's return.",
    form="epic",
    language="en",
    parts=tuple(PlannedPart(heading=f"Canto {n}", tokens=384) for n in (1, 2)),
    window=128,
    ending=64,
    guard=Guard(no_repeat=0),  # a plain job has none
)
BOOK = {
    "kind": "longform",
    "longform": {"title": PLAN.title, "premise": PLAN.premise, "form": "epic", "parts": 4, "tokens": 1000},
}


class Recording(Sequences):
    """Remembers what the engine was asked for, and what it drew."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asked: list[Request] = []
        self.drawn: list[list[int]] = []

    def run(
        self, plan: Mapping[int, Request], on_delta: Callable[[int, Delta], None]
    ) -> Iterator[tuple[int, Finished]]:
        self.asked += plan.values()
        drawn: list[int] = []
        self.drawn.append(drawn)

        def note(draw: int, delta: Delta) -> None:
            drawn.extend(delta.tokens)
            on_delta(draw, delta)

        return super().run(plan, note)


class Shelf:
    """Stands for the log of a job."""

    def add(self, *entries: object) -> None:
        """Keep nothing: what is measured is the engine and what composes for it."""


def write(engine: Engine, seed: int) -> Recording:
    """Write a book; its scope is its own, so that no other run has computed its prompts."""
    book = Book(PLAN, seed=seed, context=engine.context_length, tokenizer=engine.tokenizer, written=())
    sequences = Recording(engine)
    scope = f"book {time.monotonic_ns()}"
    while (window := book.next()) is not None:
        pen = Pen(book, window, Shelf())
        draw_window(
            PLAN, window, Parameters(temperature=0.8), pen, sequences, engine.tokenizer,
            vocabulary=engine.vocab_size, scope=scope,
        )  # fmt: skip
    return sequences


def run(engine: Engine, requests: Sequence[Request], *, sharing: bool) -> float:
    """Run requests one after the other, in one new scope or each in its own; returns seconds."""
    begun = time.monotonic()
    for number, request in enumerate(requests):
        scope = f"plain {begun} {0 if sharing else number}"
        engine.submit(replace(request, scope=scope), lambda _: None).result()
    return time.monotonic() - begun


def in_engine(rounds: int) -> list[Figure]:
    """Measure books against their own requests as plain jobs, in turns."""
    engine = Engine.load(str(CHECKPOINT), slots=SLOTS, device="cpu", precision="int8")
    engine.start()
    ratios, books, contexts, resumed = [], [], [], []
    windows = 0
    try:
        write(engine, 0)
        for seed in range(1, rounds + 1):
            # Before and after, so that a machine that becomes slower or faster meanwhile counts for neither.
            begun = time.monotonic()
            written = write(engine, seed)
            between = time.monotonic()
            plain = run(engine, written.asked, sharing=True)
            again = time.monotonic()
            write(engine, seed)
            books.append((between - begun + time.monotonic() - again) / 2)
            ratios.append(books[-1] / plain)
            windows = len(written.asked)
            first = [
                replace(each, sampling=replace(each.sampling, max_tokens=1, min_tokens=1))
                for each in written.asked
            ]
            contexts.append(run(engine, first, sharing=False) / windows)
            halves = [
                replace(
                    each,
                    generated=tuple(drawn[:64]),
                    sampling=replace(each.sampling, max_tokens=65, min_tokens=65),
                )
                for each, drawn in zip(written.asked, written.drawn, strict=True)
            ]
            resumed.append(run(engine, halves, sharing=False) / windows)
    finally:
        engine.stop()
    return [
        Figure("book_seconds", median(books), "s"),
        Figure("book_over_plain_jobs", 100 * (median(ratios) - 1), "%"),
        Figure("context_of_a_window", 1000 * median(contexts), "ms"),
        Figure("context_share_of_book", 100 * median(contexts) * windows / median(books), "%"),
        Figure("taken_up_in_mid_window", 1000 * median(resumed), "ms"),
    ]


def in_system(system: System, probes: int) -> list[Figure]:
    """Have one worker's slots full of books, and look how old their last commits are and how others wait."""
    chance = random.Random(1)
    ages: list[float] = []
    with system.client("bench-short") as short:
        alone = [_wait(short) for _ in range(probes)]
        tenants = [system.client(f"bench-book-{number}") for number in range(TENANTS)]
        begun = time.monotonic()
        books = [(tenants[n % TENANTS], tenants[n % TENANTS].jobs.submit(**BOOK, seed=n).id) for n in range(BOOKS)]  # type: ignore[arg-type]
        time.sleep(2 * PREEMPT_SECONDS)
        with ThreadPoolExecutor(1) as pool, psycopg.connect(system.database_url, autocommit=True) as database:
            beside = pool.submit(lambda: [_wait(short) for _ in range(probes)])
            for _ in range(MOMENTS):
                time.sleep(chance.uniform(0.0, 0.2))
                ages += [float(age) for (age,) in database.execute(AGE) if age is not None]
            waits = beside.result()
        ended = [tenant.jobs.wait(book, PATIENCE).state for tenant, book in books]
        if set(ended) != {"succeeded"}:
            raise RuntimeError(f"books ended as {', '.join(ended)}")
        seconds = time.monotonic() - begun
        for tenant in tenants:
            tenant.close()
    ages.sort()
    return [
        Figure("short_job_alone_p50", median(alone), "s"),
        Figure("short_job_beside_books_p50", median(waits), "s"),
        Figure("short_job_beside_books_max", max(waits), "s"),
        Figure("books_of_tenants", seconds, "s"),
        Figure("since_last_commit_p50", median(ages), "s"),
        Figure("since_last_commit_p99", ages[len(ages) * 99 // 100], "s"),
    ]


def _wait(quire: Quire) -> float:
    """Return how long a short job waited before it started."""
    job = quire.jobs.wait(quire.jobs.submit("Once", max_tokens=4).id, 120)
    time.sleep(PROBE_PAUSE)
    if job.started_at is None or job.created_at is None:
        raise RuntimeError(f"{job.id} never started")
    return (job.started_at - job.created_at).total_seconds()


SHOWN = {
    "book_over_plain_jobs": "a book above plain jobs of its prompts and tokens (asked: ≤ 5)",
    "context_of_a_window": "a window's composed context, computed anew",
    "context_share_of_book": "contexts, of a book's time",
    "taken_up_in_mid_window": "taken up again 64 tokens into a window: what giving way costs",
    "since_last_commit_p50": "since the worker's last commit, at a random moment, p50",
    "since_last_commit_p99": "the same, p99: decoding that a kill at that moment repeats (asked: ≤ 1.5)",
    "short_job_alone_p50": "a short job waits on an idle worker, p50",
    "short_job_beside_books_p50": "beside books that fill its slots, p50",
    "short_job_beside_books_max": f"the same, longest (a worker looks every {PREEMPT_SECONDS:g} s)",
    "books_of_tenants": f"all {BOOKS} of those books of 4,000 tokens, of {TENANTS} tenants on {SLOTS} slots",
    "killed_of_124M_kills": "workers killed under a book, 124M shape",
    "killed_of_124M_differing": "books that differ from the undisturbed one (asked: 0)",
    "killed_of_124M_away_p50": "until the book goes on, p50: the only worker starts again",
    "killed_as_shipped_kills": "workers killed under a book, the shipped model",
    "killed_as_shipped_differing": "books that differ from the undisturbed one (asked: 0)",
    "killed_as_shipped_away_p50": "until the book goes on, p50",
}


def page() -> None:
    """Write the section of docs/benchmarks.md from the figures that were kept."""
    kept = {figure.name: figure for figure in report.read(NAME)}
    rows = [(text, f"{kept[name].value:,.2f} {kept[name].unit}") for name, text in SHOWN.items() if name in kept]
    measured = provenance.read(NAME, RESULTS)
    lines = ["## What books cost", "", *provenance.places(measured), *table(["", "figure"], rows)]
    for one in measured.values():
        lines += provenance.how(one)
    section.put(WRITER, lines)


def main(rounds: int, probes: int, note: str | None) -> None:
    """Measure all of it, keep the figures, and write them down."""
    figures = in_engine(rounds)
    environment = {
        "QUIRE_MODELS": f"{MODEL}={CHECKPOINT}",
        "QUIRE_SLOTS": str(SLOTS),
        "QUIRE_PRECISION": "int8",
        "QUIRE_PREEMPT_SECONDS": str(PREEMPT_SECONDS),
    }
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "data", **environment) as system:
        figures += in_system(system, probes)
    report.merge(NAME, figures)
    notes = {"Scale": f"{rounds} books of {sum(part.tokens for part in PLAN.parts)} tokens; {probes} short jobs"}
    made = provenance.of_now(
        "bench.longform", sys.argv[1:], ["torch"], notes | ({"Machine": note} if note else {})
    )
    provenance.keep(NAME, "costs", made, RESULTS)
    page()
