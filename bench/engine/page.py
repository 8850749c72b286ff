"""Writes the engine's section of docs/benchmarks.md from the figures that were kept; nothing is measured here."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import provenance, report, section
from bench.engine import contention, mixed, plots, profile, totals
from bench.engine.book import NOTHING, Book, number, ratios, table
from bench.engine.options import PRECISIONS, Options
from bench.provenance import Provenance

WRITER = "python -m bench.engine page"
PLOTS = "plots"
CURVES = {
    "running": "running requests",
    "context": "tokens of context, 8 requests",
    "vocabulary": "tokens of vocabulary, 64 requests",
}
SIZES = (1, 8, 64)


def write(options: Options) -> None:
    """Replace the section in the page, or add it at its end; draws the plots into a folder beside the page."""
    book = Book(report.read("engine", options.results))
    section.put(
        WRITER, _section(book, provenance.read("engine", options.results), options.page.parent), options.page
    )


def _section(book: Book, measured: Mapping[str, Provenance], folder: Path) -> Iterator[str]:
    yield "## The engine beside its peers"
    yield ""
    yield (
        "`make bench`, or one part of it as named below. The model is a GPT-2 of the 124M shape (12 layers, "
        "width 768, context 1,024, vocabulary 50,257) with random weights from a fixed seed. Every peer is a "
        "process of its own, loaded and warmed once; only one computes at a time, and they take turns in "
        "rounds, of which the median counts. All texts have exactly the length asked for: no end-of-text "
        "token ends one early. Sizes are as described unless the command below a table says otherwise."
    )
    yield ""
    yield from provenance.places(measured)
    parts = {
        "totals": _totals,
        "profile": _profile,
        "mixed": _mixed,
        "arrivals": _arrivals,
        "growth": _growth,
        "quality": _quality,
        "contention": _contention,
        "end_to_end": _end_to_end,
        "forms": _forms,
    }
    for name, part in parts.items():
        if name in measured:
            yield from part(book)
            if name == "growth":
                yield from _plots(book, folder)
            yield from provenance.how(measured[name])


def _totals(book: Book) -> Iterator[str]:
    yield "### Totals"
    yield ""
    yield (
        "Tokens a second, prefill included: 32 prompt tokens, 64 new ones, temperature 1, top-k 50, the same "
        "number of threads for everyone. `generate` and `generate_batch` are those of transformers in fp32, "
        "`generate_batch` with pages of 128 tokens, at most 512 tokens a step and a cache that is kept. "
        "CTranslate2 runs the converted checkpoint through `generate_batch` with "
        "`include_prompt_in_result=False`, its threads in one replica or one each in several, whichever was "
        "faster in the warm-up. One at a time is what a naive worker does, whatever the batch; it is measured "
        "on a few of the requests in each round."
    )
    yield ""
    labels = [totals.ONE_AT_A_TIME, totals.STATIC, totals.CONTINUOUS]
    labels += [f"{totals.CTRANSLATE2} {precision}" for precision in PRECISIONS]
    rows = [[label, *(book.shown(totals.peer_figure(label, size)) for size in SIZES)] for label in labels]
    rows += [
        [f"**Quire {precision}**", *(book.shown(totals.own_figure(precision, size)) for size in SIZES)]
        for precision in PRECISIONS
    ]
    yield from table(["requests at once", *map(str, SIZES)], (row for row in rows if set(row[1:]) != {NOTHING}))
    yield from ratios(figure for figure in book.named("cpu_") if figure.name.endswith("_total"))


def _profile(book: Book) -> Iterator[str]:
    yield "### What bounds the totals"
    yield ""
    yield (
        "Where the time of 64 requests at once goes, prefill included, in % of it; and how many billion operations"
        " (a multiplication or an addition) a second the products make."
    )
    yield ""
    columns = (*profile.KINDS, "rate")
    rows = [[f"Quire {p}", *(book.shown(f"profile_{p}_{column}") for column in columns)] for p in PRECISIONS]
    head = ["", *profile.KINDS, "10⁹ operations/s"]
    yield from table(head, (row for row in rows if set(row[1:]) != {NOTHING}))


def _mixed(book: Book) -> Iterator[str]:
    yield "### Mixed load"
    yield ""
    yield (
        "Seconds until the last of many requests is done that are all there at the start: prompts and outputs"
        " of 16 to 512 tokens, four ways of filtering, every second request with penalties. The peer runs "
        "static batches of 32 in order of arrival, padded on the left, each to its longest output, with one "
        "sampling setting for all; everyone runs once, since it takes long, and the peer only some of its "
        "batches."
    )
    yield ""
    makespans = [figure for figure in book.named("cpu_") if figure.name.endswith("_mixed_makespan")]
    rows = [[mixed.STATIC, book.shown("generate_static_mixed_makespan"), NOTHING]]
    rows += [
        [f"**Quire {p}**", book.shown(f"cpu_{p}_mixed_makespan"), book.shown(f"cpu_{p}_mixed_rate")]
        for p in PRECISIONS
        if book.value(f"cpu_{p}_mixed_makespan") is not None
    ]
    yield from table(["", "seconds", "tokens/s"], rows)
    yield from ratios(makespans)


def _arrivals(book: Book) -> Iterator[str]:
    yield "### Waiting for tokens"
    yield ""
    yield (
        "Requests with prompts of 32 to 256 tokens and 64 new ones that arrive at random (Poisson) at 70 % of"
        " the capacity measured just before, which is what the engine does of the same kind when all are "
        "there at once."
    )
    yield ""
    names = ("first_token_p50", "first_token_p99", "token_p50", "token_p99", "capacity", "arrivals")
    head = (
        "",
        "first token p50, ms",
        "p99, ms",
        "between tokens p50, ms",
        "p99, ms",
        "capacity, 1/s",
        "arriving, 1/s",
    )
    rows = [[f"Quire {p}", *(book.shown(f"cpu_{p}_{name}") for name in names)] for p in PRECISIONS]
    yield from table(head, (row for row in rows if set(row[1:]) != {NOTHING}))


def _growth(book: Book) -> Iterator[str]:
    yield "### Growth"
    yield ""
    yield "Median milliseconds of a step in which all requests run."
    yield ""
    for kind, across in CURVES.items():
        curves = {precision: dict(book.curve(f"step_{precision}_{kind}_")) for precision in PRECISIONS}
        places = sorted({at for curve in curves.values() for at in curve})
        rows = [
            [f"Quire {precision}", *(number(curve[at]) if at in curve else NOTHING for at in places)]
            for precision, curve in curves.items()
            if curve
        ]
        yield from table([across, *(f"{place:,}" for place in places)], rows)


def _plots(book: Book, folder: Path) -> Iterator[str]:
    for kind, across in CURVES.items():
        curves = {
            f"Quire {precision}": curve
            for precision in PRECISIONS
            if (curve := book.curve(f"step_{precision}_{kind}_"))
        }
        if curves:
            name = f"{PLOTS}/step-{kind}.svg"
            plots.draw(folder / name, curves, across=across, up="ms a step")
            yield f"![ms a step by {across}]({name})"
    yield ""


def _quality(book: Book) -> Iterator[str]:
    yield "### What int8 costs"
    yield ""
    yield (
        "Perplexity of the shipped checkpoint on verse that its training held out "
        "(`bench/engine/held_out.jsonl`), each token scored in the context before it."
    )
    yield ""
    yield from ratios(book.named("perplexity_"))


def _contention(book: Book) -> Iterator[str]:
    yield "### Idle and busy cores"
    yield ""
    yield (
        "Tokens a second at batch 64. Busy means that the API, a Celery worker, the scheduler, Postgres and "
        "Valkey work through small jobs on the same cores; spins are the pauses of a waiting thread before it"
        " sleeps."
    )
    yield ""
    start, end = "contention_", f"_{contention.IDLE}"
    names = [figure.name for figure in book.named(start) if figure.name.endswith(end)]
    settings = [name.removeprefix(start).removesuffix(end) for name in names]
    rows = [
        [
            setting.replace("_", " "),
            book.shown(f"{start}{setting}_{contention.IDLE}"),
            book.shown(f"{start}{setting}_{contention.BUSY}"),
        ]
        for setting in settings
    ]
    yield from table(["Quire", "idle", "busy"], rows)


def _end_to_end(book: Book) -> Iterator[str]:
    yield "### End to end"
    yield ""
    yield (
        "The same requests (32 prompt tokens, 64 new ones, top-k 50), submitted and awaited over HTTP by a "
        "client on the same cores, through Redis, Celery and Postgres; and through the engine alone, in "
        "turns."
    )
    yield ""
    yield from ratios(figure for figure in book.named("cpu_") if figure.name.endswith("_end_to_end"))


def _forms(book: Book) -> Iterator[str]:
    yield "### Forms that hold"
    yield ""
    yield (
        "Milliseconds of a step of 64 requests that are held to a form (regulated Chinese verse of 8 lines of 7 "
        "with rhyme; a sonnet of dictionary words with rhyme and 10 syllables a line; counted lines of free text),"
        " beside a step of free requests, in alternating rounds. The constraints have a made-up vocabulary of the "
        "model's size; random weights draw words at random, which no mask that was made before fits. The ratio is "
        "that of the free step to the other."
    )
    yield ""
    yield from ratios(figure for figure in book.named("cpu_") if figure.name.endswith("_form_step"))
