"""Write samples from an exported checkpoint by fixed seeds, with the project's own engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from training import config
from training.rows import END
from worker.engine.engine import Engine
from worker.engine.request import Delta, Request, Sampling

BATCH = 64


@dataclass(frozen=True)
class Sample:
    """What was written after a header: its ids without the end mark, its text, and whether it ended by itself."""

    header: str
    seed: int
    ids: tuple[int, ...]
    text: str
    ended: bool


def sample(folder: Path, prompts: Sequence[tuple[str, int]], settings: config.Evaluation) -> list[Sample]:
    """Continue each header with its own seed; a sample does not depend on the others.

    Every prompt has the end-of-text mark in front.
    """
    engine = Engine.load(str(folder), slots=BATCH)
    engine.start()
    try:
        drawn: list[list[int]] = [[] for _ in prompts]
        futures = []
        for ids, (header, seed) in zip(drawn, prompts, strict=True):

            def keep(delta: Delta, ids: list[int] = ids) -> None:
                ids.extend(delta.tokens)

            sampling = Sampling(
                seed=seed,
                temperature=settings.temperature,
                top_k=settings.top_k,
                max_tokens=settings.sample_tokens,
            )
            prompt = (END, *engine.tokenizer.encode(header))
            futures.append(engine.submit(Request(prompt, sampling), keep))
        for future in track(futures, "evaluate: samples"):
            future.result()
        written = []
        for ids, (header, seed) in zip(drawn, prompts, strict=True):
            kept = [token for token in ids if token != END]
            written.append(Sample(header, seed, tuple(kept), engine.tokenizer.decode(kept), END in ids))
        return written
    finally:
        engine.stop()
