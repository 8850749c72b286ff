"""`generate` of transformers in fp32: one request at a time, or in static batches."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from bench.engine.work import TOP_50, Job, Ran

PADDING = 0


class Generate:
    def __init__(self, folder: Path, *, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model: Any = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
        # Without an end of text no batch ends early, and none of its tokens has to be looked at.
        self._model.generation_config.eos_token_id = None

    def run(self, jobs: Sequence[Job], batch: int) -> Ran:
        """Run `batch` jobs at once, in their order, padded on the left; each batch runs to its longest output.

        What it makes beyond a job's own output is thrown away and not counted.
        """
        batches = [(jobs[at : at + batch], *_padded(jobs[at : at + batch])) for at in range(0, len(jobs), batch)]
        tokens = 0
        begun = time.perf_counter()
        for together, ids, mask in batches:
            made = self._generate(ids, mask, max(job.new_tokens for job in together))
            tokens += sum(min(made, job.new_tokens) for job in together)
        return Ran(time.perf_counter() - begun, tokens)

    def warm(self, jobs: Sequence[Job], batch: int) -> str:
        self.run(jobs, batch)
        return ""

    @torch.inference_mode()
    def _generate(self, ids: Tensor, mask: Tensor, new_tokens: int) -> int:
        """Return how many tokens each row got."""
        output = self._model.generate(
            ids, attention_mask=mask, do_sample=True, max_new_tokens=new_tokens, pad_token_id=PADDING, **TOP_50
        )
        return int(output.shape[1] - ids.shape[1])


def _padded(jobs: Sequence[Job]) -> tuple[Tensor, Tensor]:
    width = max(len(job.prompt) for job in jobs)
    ids = torch.tensor([[PADDING] * (width - len(job.prompt)) + job.prompt for job in jobs])
    mask = torch.tensor([[0] * (width - len(job.prompt)) + [1] * len(job.prompt) for job in jobs])
    return ids, mask
