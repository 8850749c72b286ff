"""The same requests through HTTP, Redis, Celery and Postgres, and through the engine alone, in turns.

The client is on the same machine, and its work takes from the same cores.
"""

import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from bench.engine import work
from bench.engine.checkpoint import made
from bench.engine.driver import PeerFailed, median_rate, ours, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.work import TOP_50, Job, Ran
from bench.report import Figure
from bench.system import running
from quire_client import Quire

MODEL = "bench"
WAIT_SECONDS = 1800.0
ALONE = "the engine alone"


@dataclass(frozen=True)
class Written:
    """A job and the text of its prompt, of which the system counts and makes the same tokens."""

    prompt: str
    job: Job


def measure(options: Options) -> Measured:
    folder = made(options)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as data:
        for precision in options.precisions:
            alone, whole = _rounds(options, folder, precision, Path(data) / precision)
            own, bare = median_rate(whole), median_rate(alone)
            figures += [
                Figure(f"cpu_{precision}_engine_alone", bare, "tokens/s"),
                Figure(f"cpu_{precision}_end_to_end", own, "tokens/s", ALONE, own / bare),
            ]
    return Measured(figures)


def _rounds(options: Options, folder: Path, precision: str, data: Path) -> tuple[list[Ran], list[Ran]]:
    """Return the runs of the engine alone and of the whole system, which took turns."""
    alone: list[Ran] = []
    whole: list[Ran] = []
    environment = {
        "QUIRE_MODELS": f"{MODEL}={folder.resolve()}",
        "QUIRE_SLOTS": str(options.slots),
        "QUIRE_THREADS": str(options.threads),
        "QUIRE_PRECISION": precision,
    }
    with (
        ours(options, folder, precision) as engine,
        running(data, **environment) as system,
        system.client("bench") as client,
    ):
        warm = _requests(options, folder, options.slots, options.warm_tokens, "warm")
        engine.warm([one.job for one in warm], batch=options.slots)
        _through_system(options, client, warm)
        for number in range(1, options.end_to_end_rounds + 1):
            requests = _requests(options, folder, options.end_to_end_jobs, options.new_tokens, f"round {number}")
            alone.append(engine.run([one.job for one in requests], batch=options.slots))
            time.sleep(options.settle)
            whole.append(_through_system(options, client, requests))
            say(f"{precision} round {number}: {whole[-1].rate:8.1f} tokens/s, alone {alone[-1].rate:8.1f}")
    return alone, whole


def _requests(options: Options, folder: Path, count: int, new_tokens: int, seed: str) -> list[Written]:
    """Return requests whose prompts are `options.prompt` tokens in the model's own vocabulary."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    draw = random.Random(f"end to end {seed}")
    texts = [work.text(draw, options.prompt) for _ in range(count)]
    ids = [tokenizer.encode(text).ids for text in texts]
    return [
        Written(text, Job(prompt, new_tokens, seed=index))
        for index, (text, prompt) in enumerate(zip(texts, ids, strict=True))
    ]


def _through_system(options: Options, client: Quire, requests: Sequence[Written]) -> Ran:
    """Submit all and wait for all, from several threads.

    Raises:
        PeerFailed: a job did not succeed, or its text has another length than asked for.

    """

    def submit(one: Written) -> str:
        job = client.jobs.submit(
            one.prompt,
            seed=one.job.seed,
            max_tokens=one.job.new_tokens,
            min_tokens=one.job.new_tokens,
            temperature=TOP_50["temperature"],
            top_k=int(TOP_50["top_k"]),
        )
        return job.id

    begun = time.perf_counter()
    with ThreadPoolExecutor(options.end_to_end_clients) as pool:
        names = list(pool.map(submit, requests))
        ended = list(pool.map(lambda name: client.jobs.wait(name, timeout=WAIT_SECONDS), names))
    seconds = time.perf_counter() - begun
    for job, one in zip(ended, requests, strict=True):
        got = (job.state, job.usage.prompt_tokens, job.usage.completion_tokens)
        if got != ("succeeded", len(one.job.prompt), one.job.new_tokens):
            raise PeerFailed(f"a job ended as {got}, with the error {job.error}")
    return Ran(seconds, sum(job.usage.completion_tokens for job in ended))
