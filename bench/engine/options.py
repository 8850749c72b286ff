"""What may be chosen on the command line, with what `make bench` chooses."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from quire.settings import REPOSITORY

PRECISIONS = ("fp32", "int8")

Integers = tuple[int, ...]


def integers(text: str) -> Integers:
    return tuple(int(part) for part in text.split(","))


def known_precisions(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if not set(chosen) <= set(PRECISIONS):
        raise argparse.ArgumentTypeError(f"known are {', '.join(PRECISIONS)}")
    return chosen


CHECKPOINT, CACHE = REPOSITORY / "checkpoints/quire-verse", REPOSITORY / "var/bench"
RESULTS, PAGE = REPOSITORY / "bench/results", REPOSITORY / "docs/benchmarks.md"


@dataclass(frozen=True)
class About:
    """What an option is for, and what reads it from the command line."""

    text: str
    parse: Callable[[str], object] = int


@dataclass(frozen=True)
class Options:
    layers: Annotated[int, About("layers of the model; fewer are for trying the benchmark out")] = 12
    width: Annotated[int, About("width of the model, a multiple of 64")] = 768
    vocabulary: Annotated[int, About("tokens of the model's vocabulary")] = 50257
    precisions: Annotated[tuple[str, ...], About("of ours and of CTranslate2", known_precisions)] = PRECISIONS
    threads: Annotated[int, About("threads of every peer")] = 2
    slots: Annotated[int, About("sequences that ours decodes together")] = 64
    warm_tokens: Annotated[int, About("new tokens of each warm-up")] = 8
    settle: Annotated[float, About("seconds between two turns, in which spinning threads fall asleep", float)] = (
        0.5
    )

    rounds: Annotated[int, About("totals: alternating rounds, of which the median counts")] = 5
    batches: Annotated[Integers, About("totals: requests at once", integers)] = (1, 8, 64)
    prompt: Annotated[int, About("totals, end to end: tokens of a prompt")] = 32
    new_tokens: Annotated[int, About("totals, end to end, arrivals: tokens to generate")] = 64
    alone: Annotated[int, About("totals: requests of a round that `generate` runs one at a time")] = 4

    mixed_requests: Annotated[int, About("mixed: requests, all queued at the start")] = 256
    mixed_longest: Annotated[int, About("mixed: most tokens of a prompt, and of an output")] = 512
    mixed_batch: Annotated[int, About("mixed: size of the static batches")] = 32
    mixed_static_batches: Annotated[
        int, About("mixed: static batches that are run, each in minutes; the others are taken to be like them")
    ] = 2

    arrivals: Annotated[int, About("arrivals: requests")] = 200
    arrivals_load: Annotated[float, About("arrivals: share of the measured capacity", float)] = 0.7
    arrivals_longest: Annotated[int, About("arrivals: most tokens of a prompt")] = 256

    growth_running: Annotated[Integers, About("growth: running requests", integers)] = (
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
    )
    growth_context: Annotated[Integers, About("growth: context lengths", integers)] = (
        64,
        128,
        256,
        512,
        768,
        1024,
    )
    growth_vocabulary: Annotated[Integers, About("growth: vocabularies", integers)] = (1000, 10000, 50257, 100000)

    quality_model: Annotated[Path, About("quality: trained checkpoint", Path)] = CHECKPOINT
    quality_documents: Annotated[int, About("quality: held-out documents, 0 for all")] = 0

    contention_spins: Annotated[Integers, About("contention: pauses before a sleep", integers)] = (0, 200, 20000)
    contention_tokens: Annotated[int, About("contention: tokens to generate")] = 32
    contention_batch: Annotated[int, About("contention: requests at once")] = 64
    contention_rounds: Annotated[int, About("contention: rounds of each setting, of which the median counts")] = 3
    contention_rate: Annotated[float, About("contention: jobs a second of the system", float)] = 20.0

    forms_batch: Annotated[int, About("forms: requests at once")] = 64
    forms_tokens: Annotated[int, About("forms: tokens of each request, fewer than its form has")] = 48
    forms_rounds: Annotated[int, About("forms: alternating rounds, of which the median counts")] = 5

    end_to_end_jobs: Annotated[int, About("end to end: jobs")] = 256
    end_to_end_rounds: Annotated[int, About("end to end: alternating rounds, of which the median counts")] = 3
    end_to_end_clients: Annotated[int, About("end to end: threads of the client")] = 10

    cache: Annotated[Path, About("where models are kept", Path)] = CACHE
    results: Annotated[Path, About("where the figures go", Path)] = RESULTS
    page: Annotated[Path, About("the page whose engine section is written anew", Path)] = PAGE


def add_options(parser: argparse.ArgumentParser) -> None:
    for one, about in _options():
        parser.add_argument(
            f"--{one.name.replace('_', '-')}",
            type=about.parse,
            default=one.default,
            metavar=one.name.upper(),
            help=f"{about.text} ({_shown(one.default)})",
        )


def options_of(parsed: argparse.Namespace) -> Options:
    return Options(**{one.name: getattr(parsed, one.name) for one, _ in _options()})


def _options() -> Iterator[tuple["Field[Any]", About]]:
    hints = get_type_hints(Options, include_extras=True)
    for one in fields(Options):
        yield one, hints[one.name].__metadata__[0]


def _shown(default: object) -> str:
    if isinstance(default, Path):
        return str(default.relative_to(REPOSITORY))
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
