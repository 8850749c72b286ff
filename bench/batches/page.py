"""Writes the section of docs/benchmarks.md on batches, schedules and webhooks; measures nothing."""

from collections.abc import Iterator, Mapping, Sequence

from bench import provenance, section
from bench.engine.book import NOTHING, number, table
from bench.provenance import Provenance
from bench.report import RESULTS, Figure, read

WRITER = "python -m bench.batches page"
ROWS: Mapping[str, Sequence[tuple[str, str]]] = {
    "accept": (
        ("items of the file", "accept_items"),
        ("taken in, items/s", "accept_rate"),
        ("taken in after, s", "accept_seconds"),
        ("cancelled while it ran, in s", "cancel_seconds"),
    ),
    "memory": (
        ("file sent, MB", "memory_file"),
        ("API before, MB", "memory_before"),
        ("API at most, MB", "memory_peak"),
    ),
    "completion": (
        ("last item to batch, median, s", "completion_p50"),
        ("last item to batch, longest, s", "completion_max"),
    ),
    "neighbours": (
        ("short job alone, median wait, s", "neighbour_alone_p50"),
        ("beside a batch of another's, median, s", "neighbour_beside_p50"),
        ("beside it, longest, s", "neighbour_beside_max"),
        ("items of that batch done meanwhile", "neighbour_batch_done"),
    ),
    "firing": (
        ("schedules due at one moment that fired", "firing_schedules"),
        ("firings/s", "firing_rate"),
        ("late, p50, s", "firing_late_p50"),
        ("late, p99, s", "firing_late_p99"),
        ("late, longest, s", "firing_late_max"),
    ),
    "webhooks": (
        ("delivered", "webhooks_delivered"),
        ("to endpoints", "webhooks_endpoints"),
        ("deliveries/s", "webhooks_rate"),
    ),
}
ABOUT = {
    "accept": "One file of JSON lines in one request, and a cancellation two seconds later.",
    "memory": "Items with as much metadata as there may be; resident memory of all the API's processes, ten times "
    "a second.",
    "completion": "From the end of the last of 20 items to the end of their batch.",
    "neighbours": "Jobs of four tokens by one tenant, first alone, then beside a batch of 50,000 of another's.",
    "firing": "Schedules that are due in the same minute, by one scheduler. Their batches are made after.",
    "webhooks": "To a receiver in Python on the same cores that takes everything at once.",
}


def write() -> None:
    """Replace the section in the page, or add it at its end."""
    figures = {figure.name: figure for figure in read("batches")}
    section.put(WRITER, _section(figures, provenance.read("batches", RESULTS)))


def _section(figures: Mapping[str, Figure], measured: Mapping[str, Provenance]) -> Iterator[str]:
    yield "## Batches, schedules and webhooks"
    yield ""
    yield "`make bench-batches`, or one part of it as named below: the whole system under `quire up`, over HTTP."
    yield ""
    yield from provenance.places(measured)
    for part, rows in ROWS.items():
        yield f"### {part}"
        yield ""
        yield ABOUT[part]
        yield ""
        if part not in measured:
            yield "Not measured yet."
            yield ""
            continue
        yield from table(("", "figure"), [(label, _shown(figures, name)) for label, name in rows])
        yield from provenance.how(measured[part])


def _shown(figures: Mapping[str, Figure], name: str) -> str:
    figure = figures.get(name)
    if figure is None:
        return NOTHING
    return f"{figure.value:,.0f}" if figure.value == int(figure.value) else number(figure.value)
