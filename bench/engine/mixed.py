"""How long a mixed load takes: prompts and outputs of all lengths, all queued at the start.

The peer is `generate` of transformers in static batches, in order of arrival, each run to its longest output. It
has one sampling setting for all; ours has each request's own.
"""

from contextlib import ExitStack

from bench.engine import work
from bench.engine.checkpoint import made
from bench.engine.driver import Peer, library, median_seconds, ours, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.work import Job, Ran
from bench.report import Figure

STATIC = "generate, static batches"
OURS = "Quire"


def measure(options: Options) -> Measured:
    folder = made(options)
    with ExitStack() as stack:
        generate = stack.enter_context(library(options, "generate", "fp32", folder))
        engines = {
            precision: stack.enter_context(ours(options, folder, precision)) for precision in options.precisions
        }
        everyone: list[Peer] = [generate, *engines.values()]
        for peer in everyone:
            peer.warm(_warm_up(options), batch=options.mixed_batch)
        static: list[Ran] = []
        own: dict[str, list[Ran]] = {precision: [] for precision in engines}
        for number in range(max(options.mixed_rounds, options.mixed_static_rounds)):
            jobs = _jobs(options, number)
            if number < options.mixed_rounds:
                for precision, engine in engines.items():
                    own[precision].append(_said(f"{OURS} {precision}", engine.run(jobs, batch=len(jobs))))
            if number < options.mixed_static_rounds:
                static.append(_said(STATIC, generate.run(jobs, batch=options.mixed_batch)))
    return Measured(_figures(own, static))


def _jobs(options: Options, number: int) -> list[Job]:
    """Return the load of a round: the lengths of all rounds are the same, the prompts are not."""
    lengths = work.mixed(
        options.mixed_requests, longest=options.mixed_longest, vocabulary=options.vocabulary, seed="mixed"
    )
    shift = 7919 * number
    vocabulary = options.vocabulary - 1
    return [
        Job([(token + shift) % vocabulary for token in job.prompt], job.new_tokens, job.seed, job.sampling)
        for job in lengths
    ]


def _warm_up(options: Options) -> list[Job]:
    return work.equal(
        options.mixed_batch,
        prompt=options.prompt,
        new_tokens=options.warm_tokens,
        vocabulary=options.vocabulary,
        seed="warm",
    )


def _said(label: str, ran: Ran) -> Ran:
    say(f"{label:24} {ran.seconds:8.1f} s  {ran.rate:8.1f} tokens/s")
    return ran


def _figures(own: dict[str, list[Ran]], static: list[Ran]) -> list[Figure]:
    figures: list[Figure] = []
    theirs = median_seconds(static) if static else None
    if theirs is not None:
        figures.append(Figure("generate_static_mixed_makespan", theirs, "s"))
    for precision, runs in own.items():
        seconds = median_seconds(runs)
        ratio = theirs / seconds if theirs is not None else None
        figures += [
            Figure(f"cpu_{precision}_mixed_makespan", seconds, "s", STATIC if ratio else None, ratio),
            Figure(f"cpu_{precision}_mixed_rate", runs[0].tokens / seconds, "tokens/s"),
        ]
    return figures
