"""Time to the first token and between tokens, with requests that arrive at random below the capacity.

The capacity is measured first, on requests of the same kind that are all there at once. Times count from when a
request was due to arrive, so that a stall shows in all requests that it held up.
"""

from itertools import pairwise

from bench.engine import work
from bench.engine.checkpoint import made
from bench.engine.driver import ours, percentile, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.work import Job
from bench.report import Figure

QUANTILES = {"p50": 0.5, "p99": 0.99}
MILLISECONDS = 1000.0


def measure(options: Options) -> Measured:
    folder = made(options)
    figures: list[Figure] = []
    for precision in options.precisions:
        with ours(options, folder, precision) as engine:
            engine.warm(_jobs(options, options.slots, "warm", options.warm_tokens), batch=options.slots)
            # As many as four times the slots: the end, when slots stand empty, shall not weigh much.
            crowd = _jobs(options, 4 * options.slots, "capacity", options.new_tokens)
            capacity = len(crowd) / engine.run(crowd, batch=len(crowd)).seconds
            rate = options.arrivals_load * capacity
            jobs = _jobs(options, options.arrivals, "arrivals", options.new_tokens)
            at = work.poisson(len(jobs), rate=rate, seed="arrivals")
            times = engine.trace(jobs, at)
        say(f"{precision}: capacity {capacity:.2f} requests/s, {len(jobs)} arrived at {rate:.2f} a second")
        figures += [
            Figure(f"cpu_{precision}_capacity", capacity, "requests/s"),
            Figure(f"cpu_{precision}_arrivals", rate, "requests/s"),
            *_figures(precision, at, times),
        ]
    return Measured(figures)


def _jobs(options: Options, count: int, seed: str, new_tokens: int) -> list[Job]:
    return work.ragged(
        count,
        shortest=options.prompt,
        longest=options.arrivals_longest,
        new_tokens=new_tokens,
        vocabulary=options.vocabulary,
        seed=seed,
    )


def _figures(precision: str, at: list[float], times: list[list[float]]) -> list[Figure]:
    firsts = [tokens[0] - due for due, tokens in zip(at, times, strict=True)]
    gaps = [late - early for tokens in times for early, late in pairwise(tokens)]
    return [
        Figure(f"cpu_{precision}_{name}_{quantile}", MILLISECONDS * percentile(values, share), "ms")
        for name, values in (("first_token", firsts), ("token", gaps))
        for quantile, share in QUANTILES.items()
    ]
