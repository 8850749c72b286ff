"""`generate_batch` of transformers in fp32: its own continuous batching."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GPT2LMHeadModel

from bench.engine.work import TOP_50, Job, Ran

# Found by trial at 64 requests of the 124M shape. What it attends to grows with the square of a batch's tokens: a
# prefill of 2,048 at once took three times as long as one in batches of 512.
PAGE = 128
MOST_BATCH_TOKENS = 512
NO_TOKEN = -1


class Continuous:
    """Has one output length and one sampling setting for all requests of a run, as its API does."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)  # it warns at each run
        torch.set_num_threads(threads)
        self._model: Any = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
        settings = {"do_sample": True, "eos_token_id": NO_TOKEN, "pad_token_id": 0, **TOP_50}
        for name, value in settings.items():
            setattr(self._model.generation_config, name, value)
        self._pages = 0

    def run(self, jobs: Sequence[Job], batch: int) -> Ran:  # noqa: ARG002 - it batches by itself
        """Run all jobs in a cache that is kept from run to run, and made anew when more is needed."""
        longest = max(job.new_tokens for job in jobs)
        pages = sum(-(-(len(job.prompt) + longest) // PAGE) + 1 for job in jobs)
        if pages > self._pages:
            self._model.destroy_cached_continuous_batching_manager()
            self._pages = pages
        # By default it takes most of the machine's memory.
        batching = ContinuousBatchingConfig(
            page_size=PAGE, num_blocks=self._pages, max_batch_tokens=MOST_BATCH_TOKENS
        )
        prompts = [job.prompt for job in jobs]
        begun = time.perf_counter()
        outputs = self._model.generate_batch(
            prompts,
            continuous_batching_config=batching,
            max_new_tokens=longest,
            persistent_manager=True,
            warmup=False,
        )
        seconds = time.perf_counter() - begun
        return Ran(seconds, sum(len(output.generated_tokens) for output in outputs.values()))

    def warm(self, jobs: Sequence[Job], batch: int) -> str:
        self.run(jobs, batch)
        return ""
