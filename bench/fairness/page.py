"""Writes the section of docs/benchmarks.md on fairness from the figures that were kept; measures nothing."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench import provenance, section
from bench.engine.book import NOTHING, number, table
from bench.fairness import figures
from bench.fairness.contention import LANES, SLOTS, WORKERS
from bench.fairness.figures import Figure
from bench.fairness.growth import BOUND, CLAIM, FLAT, SHAPES
from bench.fairness.live import SLOTS as LIVE_SLOTS
from bench.fairness.options import Options
from bench.provenance import Provenance

WRITER = "python -m bench.fairness page"
SIGNS = {"<=": "≤", ">=": "≥"}
NOMINAL = 0.9  # of the jobs, for which a p90 is to hold
CONTENTION = {
    "jobs": "claimed and completed, jobs/s",
    "longest_run": "longest run of one lane, jobs",
    "heartbeat_p99": "heartbeat p99, ms",
    "deadlocks": "deadlocks",
    "stranded": "stranded jobs",
    "claim_size": "jobs of a claim, median",
    "claim_p50": "claim p50, ms",
    "claim_p99": "claim p99, ms",
    "commit_p50": "commit p50, ms",
}
RATES = {
    "single submissions, 8 clients": ("rates_submit", "jobs/s"),
    "10,000 jobs in one body": ("rates_bulk_submit", "jobs/s"),
    "polls, 8 clients": ("rates_poll", "polls/s"),
    "polls beside 1,000 who wait": ("rates_poll_beside_1000", "polls/s"),
}


@dataclass(frozen=True)
class Book:
    figures: Mapping[str, Figure]

    def of(self, part: str) -> list[Figure]:
        return [figure for name, figure in self.figures.items() if name.startswith(f"{part}_")]

    def shown(self, name: str) -> str:
        """Return a value with what was asked of it, a dash if it was not measured."""
        figure = self.figures.get(name)
        if figure is None:
            return NOTHING
        return f"{_number(figure.value)} ({asked(figure)})" if figure.bound else _number(figure.value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else number(value)


def asked(figure: Figure) -> str:
    """Return what was asked for, and whether it was missed."""
    if figure.bound is None:
        return ""
    sign, limit = figure.bound.split()
    return f"{SIGNS[sign]} {_number(float(limit))}" + ("" if figure.met else ", **missed**")


def write(options: Options) -> None:
    """Replace the section in the page, or add it at its end."""
    book = Book({figure.name: figure for figure in figures.read(options.results)})
    section.put(WRITER, _section(book, provenance.read("fairness", options.results)), options.page)


def _section(book: Book, measured: Mapping[str, Provenance]) -> Iterator[str]:
    yield "## Fairness, limits and growth"
    yield ""
    bounds = [figure for figure in book.figures.values() if figure.bound is not None]
    missed = [f"`{figure.name}`" for figure in bounds if not figure.met]
    yield (
        "`make bench-fairness`, or one part of it as named below. Where jobs run, it is the whole system with "
        f"one worker of {LIVE_SLOTS} slots and a model so small (2 layers, width 64, random weights) that the "
        "queue decides and not the engine; clients, services, Postgres and Valkey share the cores. Of "
        f"{len(bounds)} bounds {len(bounds) - len(missed)} held; missed: {', '.join(missed) or 'none'}."
    )
    yield ""
    yield from provenance.places(measured)
    for name, part in PARTS.items():
        if name in measured:
            yield from part(book)
            yield from provenance.how(measured[name])


def _listed(found: Sequence[Figure]) -> list[str]:
    rows = [(f"`{one.name}`", f"{_number(one.value)} {one.unit}".strip(), asked(one)) for one in found]
    return table(("figure", "value", "asked for"), rows)


def _flood(book: Book) -> Iterator[str]:
    yield "### A flood beside fifty"
    yield ""
    yield (
        "Fifty tenants hand in one job each at the same moment, alone (median of three rounds) and beside a "
        "tenant that has queued 10,000 (the worst of three): seconds until the last of the fifty has finished, "
        "asked to be no more than twice as many and one preemption interval, which is the longest job of the "
        "flood."
    )
    yield ""
    yield from _listed(book.of("flood"))


def _weights(book: Book) -> Iterator[str]:
    yield "### Shares by weight"
    yield ""
    yield "Three tenants of the weights 1, 2 and 4 with jobs of 16 to 112 tokens, while all have some waiting."
    yield ""
    yield from _listed(book.of("weights"))


def _bound(book: Book) -> Iterator[str]:
    yield "### The bound of VTC"
    yield ""
    yield (
        "Three equal tenants, of short jobs, of long ones, and of jobs whose estimates are far too high: how "
        "far apart what they were served ever gets, beside the bound (`bench/fairness/bound.py` derives it)."
    )
    yield ""
    yield from _listed(book.of("bound"))


def _work_conserving(book: Book) -> Iterator[str]:
    yield "### One tenant among idle ones"
    yield ""
    yield "One tenant alone on a system, and one among fifty that are idle, in turns; the best round of each."
    yield ""
    yield from _listed(book.of("work_conserving"))


def _contention(book: Book) -> Iterator[str]:
    yield "### Claims under contention"
    yield ""
    yield (
        f"{WORKERS} workers of {SLOTS} slots, each a process with three connections, and 100,000 queued jobs "
        "that take no time: all of one tenant, and of two equal ones. In brackets what was asked for."
    )
    yield ""
    rows = [
        (label, *(book.shown(f"contention_{lanes}_{name}") for lanes in LANES))
        for name, label in CONTENTION.items()
    ]
    yield from table(("", *(f"{lanes} ({count} lane{'s'[: count - 1]})" for lanes, count in LANES.items())), rows)


def _growth(book: Book) -> Iterator[str]:
    yield "### Growth"
    yield ""
    yield (
        "Median milliseconds at so many queued jobs. Nearly all of them are one tenant's, or they are dealt "
        f"out to 10, 1,000 and 10,000. A claim is one of {CLAIM} jobs; tick is what a scheduler does four times "
        f"a second, scrape is `GET /metrics`. Asked for is no more than {FLAT} times as long with the most jobs "
        "as with the fewest, of all but the last two: a scrape counts all live jobs, and grows."
    )
    yield ""
    operations = (*BOUND, "tick", "scrape")
    sizes = _sizes(book)
    rows = []
    for operation in operations:
        for shape in SHAPES:
            name = f"growth_{shape}_{operation}"
            times = (book.shown(f"{name}_p50_{size}") for size in sizes)
            rows.append((operation, shape.replace("_", " "), *times, book.shown(f"{name}_growth")))
    yield from table(("", "jobs of", *(f"{size:,}" for size in sizes), "times as long"), rows)
    yield "From the fewest jobs of ten tenants to the most of ten thousand:"
    yield ""
    yield from table(("", "times as long"), ((one, book.shown(f"growth_corner_{one}_growth")) for one in BOUND))
    for operation in BOUND:
        yield f"![{operation}, ms by queued jobs](plots/growth-{operation}.svg)"
    yield ""


def _sizes(book: Book) -> list[int]:
    start = f"growth_{next(iter(SHAPES))}_{BOUND[0]}_p50_"
    return sorted(int(name.removeprefix(start)) for name in book.figures if name.startswith(start))


def _rates(book: Book) -> Iterator[str]:
    yield "### Rates"
    yield ""
    waiters, told = book.shown("rates_waiters_answered"), book.shown("rates_waiters_told_after")
    yield (
        "Over HTTP to one API process, clients on the same cores and the worker at work. Of 1,000 who waited "
        f"{waiters} were answered, {told} s after their jobs had ended. A single submission is one transaction "
        "of several round trips, encrypted and flushed to disk; who has many jobs sends them in one body."
    )
    yield ""
    rows = [
        (label, f"{book.shown(name)} {unit}", book.shown(f"{name}_p50"), book.shown(f"{name}_p99"))
        for label, (name, unit) in RATES.items()
    ]
    yield from table(("", "rate", "p50, ms", "p99, ms"), rows)


def _eta(book: Book) -> Iterator[str]:
    yield "### Predicted starts"
    yield ""
    held = book.figures["eta_p90_held"].value
    short = "" if held >= NOMINAL else f", {math.ceil(100 * (NOMINAL - held))} in 100 short of it"
    yield (
        "Four tenants of the weights 1, 1, 2 and 4 hand in jobs of 16 to 400 tokens in bursts, and each job is "
        f"looked at once: does it start by the times told? A p90 is meant to hold for {100 * NOMINAL:g} in 100 "
        f"jobs; it held for {100 * held:.0f}{short}. The first 300 jobs, of which the system knows nothing yet, "
        "are counted apart."
    )
    yield ""
    yield from _listed(book.of("eta"))


PARTS: Mapping[str, Callable[[Book], Iterator[str]]] = {
    "flood": _flood,
    "weights": _weights,
    "bound": _bound,
    "work_conserving": _work_conserving,
    "contention": _contention,
    "growth": _growth,
    "rates": _rates,
    "eta": _eta,
}
