"""Writes the section of docs/benchmarks.md on faults from the figures that were kept; nothing is run here."""

import re
from collections.abc import Iterator, Mapping, Sequence

from bench import provenance, section
from bench.engine.book import NOTHING, number, table
from chaos import figures
from chaos.faults import FAULTS
from chaos.figures import Figure, label
from chaos.storm import CLIENTS_EACH, TENANTS
from chaos.system import BEHIND_PROXY, Choices

WRITER = "python -m chaos --page"
STORM = re.compile(r"((?:short_)?seed_\d+)_jobs")
COUNTS = {
    "jobs": "jobs",
    "jobs_acknowledged": "acknowledged",
    "jobs_succeeded": "succeeded",
    "jobs_cancelled": "cancelled, as asked",
    "jobs_expired": "expired, as asked",
    "jobs_failed": "failed, as meant",
    "lost": "lost",
    "doubled": "doubled",
    "violations": "violations of any promise",
    "requests": "requests",
    "requests_without_answer": "requests without an answer",
    "requests_answered_503": "requests answered 503",
    "requests_answered_500": "requests answered 500",
    "seconds": "seconds",
    "jobs_per_second": "jobs a second",
    "tokens_delivered": "tokens delivered",
    "tokens_drawn_and_not_kept": "tokens drawn and not kept",
    "tokens_prefilled_again": "tokens prefilled again",
    "jobs_claimed_again": "jobs claimed again",
}
BROKEN = {"fence": "the check of fences", "idempotency": "the memory of Idempotency-Keys"}

Book = Mapping[str, Figure]


def write() -> None:
    """Replace the section in the page, or add it at its end."""
    book = {figure.name: figure for figure in figures.read()}
    section.put(WRITER, _section(book))


def _section(book: Book) -> Iterator[str]:
    measured = provenance.read("chaos", figures.RESULTS.parent)
    storms = [match[1] for name in book if (match := STORM.fullmatch(name))]
    yield "## Faults"
    yield ""
    yield from _about(book)
    yield from provenance.places(measured)
    yield "### What became of the jobs"
    yield ""
    yield (
        "Failed as meant are the jobs that kill their worker or raise in the engine. Tokens drawn and not kept "
        "include those of cancelled jobs. In brackets what was asked for."
    )
    yield ""
    rows = [(what, *(_shown(book.get(f"{storm}_{name}")) for storm in storms)) for name, what in COUNTS.items()]
    yield from table(("", *map(_title, storms)), rows)
    yield from _faults(book, storms)
    yield from _drills(book)
    yield from _broken(book)
    for command in dict.fromkeys((one.date, one.command, one.notes.get("model", "")) for one in measured.values()):
        date, line, model = command
        yield f"*{date}, `{line}`{f': {model}' if model else ''}.*"
        yield ""


def _about(book: Book) -> Iterator[str]:
    bounds = [figure for figure in book.values() if figure.bound is not None]
    missed = [f"`{figure.name}`" for figure in bounds if not figure.kept]
    apart = ", ".join(f"{name} {seconds:+g} s" for name, seconds in BEHIND_PROXY.items())
    yield (
        f"`make chaos`, or one part of it as named below: two API processes, two workers of {Choices.slots} "
        f"slots, two schedulers, Postgres and Valkey, real processes on one machine. {TENANTS} tenants with "
        f"{CLIENTS_EACH} clients each submit jobs of about 32 tokens over HTTP, with Idempotency-Keys and "
        "retries, cancels, deadlines and held jobs among them, while one fault follows the other by a seed. "
        "The second process of each kind talks through a proxy that can be cut, and its clock is wrong "
        f"({apart}). Then a checker proves from the clients' log and from triggers in the database what became "
        f"of each job. Long runs have the product's lease of {Choices.lease:g} s, short ones 2 s. Of "
        f"{len(bounds)} bounds {len(bounds) - len(missed)} held; missed: {', '.join(missed) or 'none'}."
    )
    yield ""


def _faults(book: Book, storms: Sequence[str]) -> Iterator[str]:
    yield "### The faults, and how long until things went on"
    yield ""
    yield (
        "How often each was injected, and median / longest seconds until the last of the jobs that it hit was "
        "claimed again (faults of workers), a job submitted after it had started, or a submission was answered "
        "(faults of APIs). These are times under load, with faults that meet: the other worker may itself be "
        "away, and after a restart of Postgres nobody takes a lapsed lease for a dead worker for one lease "
        "more. What is promised of each by itself is measured in the drills below."
    )
    yield ""
    rows = [(fault.name, *(_recovery(book, storm, label(fault.name)) for storm in storms)) for fault in FAULTS]
    yield from table(("", *map(_title, storms)), rows)


def _recovery(book: Book, storm: str, fault: str) -> str:
    injected = book.get(f"{storm}_injected_{fault}")
    if injected is None:
        return NOTHING
    after = f"{storm}_recovery_after_{fault}"
    half, longest = book.get(f"{after}_p50"), book.get(f"{after}_max")
    times = f": {half.value:.2f} / {longest.value:.2f} s" if half and longest else ""
    return f"{injected.value:g} x{times}"


def _drills(book: Book) -> Iterator[str]:
    yield "### Drills: one fault at a time"
    yield ""
    yield "On a quiet system, each several times where it is a time."
    yield ""
    drills = [figure for name, figure in book.items() if name.startswith("drill_")]
    yield from table(
        ("figure", "value", "asked for"),
        (
            (f"`{figure.name.removeprefix('drill_')}`", f"{_number(figure.value)} {figure.unit}", _asked(figure))
            for figure in drills
        ),
    )


def _broken(book: Book) -> Iterator[str]:
    yield "### Broken builds"
    yield ""
    yield "A copy of the sources with one promise taken out, and a run that must notice."
    yield ""
    for name, what in BROKEN.items():
        figure = book.get(f"broken_{name}_not_caught")
        if figure:
            yield f"- without {what}: {'caught' if figure.kept else '**not caught**'}"
    yield ""


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return NOTHING
    return f"{_number(figure.value)} ({_asked(figure)})" if figure.bound is not None else _number(figure.value)


def _asked(figure: Figure) -> str:
    if figure.bound is None:
        return ""
    return f"≤ {_number(figure.bound)}" + ("" if figure.kept else ", **missed**")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else number(value)


def _title(storm: str) -> str:
    return storm.replace("_", " ")
