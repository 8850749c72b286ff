"""How the time of a step grows with running requests, with their length, and with the vocabulary."""

import statistics
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from bench.engine import work
from bench.engine.checkpoint import made
from bench.engine.driver import Peer, PeerFailed, ours, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.work import Job
from bench.report import Figure

MILLISECONDS = 1000.0
FEWEST_STEPS = 8
# Lengths: short while the number of requests grows, and few requests while their length does.
PROMPT, NEW_TOKENS = 24, 40
REQUESTS_OF_LENGTH, NEW_TOKENS_OF_LENGTH = 8, 64
REQUESTS_OF_VOCABULARY = 64


def measure(options: Options) -> Measured:
    figures: list[Figure] = []
    for precision in options.precisions:
        figures += _by_load(options, precision)
        figures += _by_vocabulary(options, precision)
    return Measured(figures)


def _by_load(options: Options, precision: str) -> list[Figure]:
    """Measure every number of requests and every length in one engine."""
    slots = max(*options.growth_running, REQUESTS_OF_LENGTH)
    kv_tokens = max(slots * (PROMPT + NEW_TOKENS), REQUESTS_OF_LENGTH * max(options.growth_context))
    figures: list[Figure] = []
    with ours(options, made(options), precision, slots=slots, kv_tokens=kv_tokens) as engine:
        for count in (options.growth_running[0], *options.growth_running):  # the first one twice, to warm up
            milliseconds = _step(engine, count, PROMPT, NEW_TOKENS, options.vocabulary)
            figures.append(_said(f"step_{precision}_running_{count}", milliseconds))
        for context in options.growth_context:
            prompt = max(context - NEW_TOKENS_OF_LENGTH, 1)
            new_tokens = context - prompt
            milliseconds = _step(engine, REQUESTS_OF_LENGTH, prompt, new_tokens, options.vocabulary)
            figures.append(_said(f"step_{precision}_context_{context}", milliseconds))
    return figures[1:]


def _by_vocabulary(options: Options, precision: str) -> list[Figure]:
    """Measure a checkpoint of each vocabulary; they are large and serve nothing else, so none is kept."""
    room = {"slots": REQUESTS_OF_VOCABULARY, "kv_tokens": REQUESTS_OF_VOCABULARY * (PROMPT + NEW_TOKENS)}
    figures: list[Figure] = []
    for size in options.growth_vocabulary:
        with (
            tempfile.TemporaryDirectory(prefix="quire-bench-") as folder,
            ours(options, made(options, vocabulary=size, cache=Path(folder)), precision, **room) as engine,
        ):
            engine.warm(
                work.equal(4, prompt=PROMPT, new_tokens=options.warm_tokens, vocabulary=size, seed="warm"), batch=4
            )
            milliseconds = _step(engine, REQUESTS_OF_VOCABULARY, PROMPT, NEW_TOKENS, size)
            figures.append(_said(f"step_{precision}_vocabulary_{size}", milliseconds))
    return figures


def _step(engine: Peer, count: int, prompt: int, new_tokens: int, vocabulary: int) -> float:
    seed = f"{count} {prompt} {vocabulary}"
    return median_step(
        engine, work.equal(count, prompt=prompt, new_tokens=new_tokens, vocabulary=vocabulary, seed=seed)
    )


def median_step(engine: Peer, jobs: Sequence[Job]) -> float:
    """Return the median milliseconds of the steps in which all requests ran.

    Raises:
        PeerFailed: there were too few of them, because the first had ended before the last began.

    """
    times = engine.trace(jobs, [0.0] * len(jobs))
    begin, end = max(tokens[0] for tokens in times), min(tokens[-1] for tokens in times)
    last = max(times, key=lambda tokens: tokens[0])
    steps = [late - early for early, late in pairwise(last) if begin <= early and late <= end]
    if len(steps) < FEWEST_STEPS:
        raise PeerFailed(f"{len(jobs)} requests ran together for {len(steps)} steps only")
    return MILLISECONDS * statistics.median(steps)


def _said(name: str, milliseconds: float) -> Figure:
    say(f"{name:28} {milliseconds:8.2f} ms")
    return Figure(name, milliseconds, "ms")
