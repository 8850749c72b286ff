"""CTranslate2, the same checkpoint converted, in fp32 or int8.

Its threads can be arranged in two ways: all in one replica, or one in each of several replicas, among which a
batch is divided. Which is faster depends on precision, batch and machine, so both are tried while it warms up.
"""

import importlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine.checkpoint import CONVERTED
from bench.engine.work import TOP_50, Job, Ran

TYPES = {"fp32": "float32", "int8": "int8"}


@dataclass(frozen=True)
class Arrangement:
    """`replicas` of the model, each with `threads`, each taking batches of an equal share."""

    replicas: int
    threads: int
    generator: Any

    def __str__(self) -> str:
        return f"replicas x threads {self.replicas} x {self.threads}"


class CTranslate2:
    def __init__(self, folder: Path, *, precision: str, threads: int) -> None:
        library = importlib.import_module("ctranslate2")
        source = folder / CONVERTED
        self._vocabulary: list[str] = json.loads((source / "vocabulary.json").read_text(encoding="utf-8"))
        self._arrangements = [
            Arrangement(
                replicas,
                each,
                library.Generator(
                    str(source),
                    device="cpu",
                    compute_type=TYPES[precision],
                    inter_threads=replicas,
                    intra_threads=each,
                ),
            )
            for replicas, each in dict.fromkeys(((1, threads), (threads, 1)))
        ]
        self._best: dict[int, Arrangement] = {}

    def run(self, jobs: Sequence[Job], batch: int) -> Ran:
        """Run jobs of one output length, `batch` at once, as the warm-up with as many found best."""
        return self._run(self._best.get(batch, self._arrangements[0]), jobs, batch)

    def warm(self, jobs: Sequence[Job], batch: int) -> str:
        for arrangement in self._arrangements:
            self._run(arrangement, jobs, batch)
        timed = {self._run(one, jobs, batch).seconds: one for one in self._arrangements}
        self._best[batch] = timed[min(timed)]
        return str(self._best[batch])

    def _run(self, arrangement: Arrangement, jobs: Sequence[Job], batch: int) -> Ran:
        [new_tokens] = {job.new_tokens for job in jobs}
        prompts = [[self._vocabulary[token] for token in job.prompt] for job in jobs]
        begun = time.perf_counter()
        results = arrangement.generator.generate_batch(
            prompts,
            max_batch_size=-(-batch // arrangement.replicas),
            max_length=new_tokens,
            min_length=new_tokens,
            sampling_topk=TOP_50["top_k"],
            sampling_temperature=TOP_50["temperature"],
            include_prompt_in_result=False,  # or it would run prompts token by token
        )
        tokens = sum(len(result.sequences_ids[0]) for result in results)
        return Ran(time.perf_counter() - begun, tokens)
