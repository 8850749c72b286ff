"""How long a mixed load takes: prompts and outputs of all lengths, all queued at the start.

The peer is `generate` of transformers in static batches, in order of arrival, each run to its longest output. It
has one sampling setting for all; ours has each request's own.
"""

from contextlib import ExitStack

from bench.engine import work
from bench.engine.checkpoint import made
from bench.engine.driver import Peer, library, ours, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.work import Job, Ran
from bench.report import Figure

STATIC = "generate, static batches"
OURS = "Quire"


def measure(options: Options) -> Measured:
    folder = made(options)
    jobs = work.mixed(
        options.mixed_requests, longest=options.mixed_longest, vocabulary=options.vocabulary, seed="mixed"
    )
    some = jobs[: options.mixed_static_batches * options.mixed_batch]
    with ExitStack() as stack:
        generate = stack.enter_context(library(options, "generate", "fp32", folder))
        engines = {
            precision: stack.enter_context(ours(options, folder, precision)) for precision in options.precisions
        }
        everyone: list[Peer] = [generate, *engines.values()]
        for peer in everyone:
            peer.warm(_warm_up(options), batch=options.mixed_batch)
        own = {
            precision: _said(f"{OURS} {precision}", engine.run(jobs, batch=len(jobs)))
            for precision, engine in engines.items()
        }
        static = _said(STATIC, generate.run(some, batch=options.mixed_batch))
    ran = f"{len(some)} of {len(jobs)} requests were run, their time scaled by tokens"
    return Measured(_figures(jobs, own, static), {STATIC: ran} if len(some) < len(jobs) else {})


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


def _figures(jobs: list[Job], own: dict[str, Ran], static: Ran) -> list[Figure]:
    theirs = sum(job.new_tokens for job in jobs) / static.rate
    figures = [Figure("generate_static_mixed_makespan", theirs, "s")]
    for precision, ran in own.items():
        figures += [
            Figure(f"cpu_{precision}_mixed_makespan", ran.seconds, "s", STATIC, theirs / ran.seconds),
            Figure(f"cpu_{precision}_mixed_rate", ran.rate, "tokens/s"),
        ]
    return figures
