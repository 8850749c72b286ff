"""Scores token ids under a checkpoint: `python -m bench.engine.scorer NAME PRECISION --folder CHECKPOINT`.

NAME is `ours` or `transformers`. Driven like the other peers; `score` answers with the nats of every row's tokens
after the first, and how many they are.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.engine.child import Answers, open_channel, serve

Logprobs = Callable[[Sequence[int]], Sequence[float]]


def ours(folder: Path, *, precision: str, threads: int) -> Logprobs:
    """Return the engine's log-probabilities of a row's tokens after the first."""
    # Imported where it runs: it sets up its process.
    from worker.engine.blocks import blocks_for  # noqa: PLC0415
    from worker.engine.loading import load_model  # noqa: PLC0415
    from worker.engine.scoring import logprobs  # noqa: PLC0415

    context = json.loads((folder / "config.json").read_text())["n_positions"]
    blocks = blocks_for(context)
    loaded = load_model(str(folder), kv_blocks=blocks, device="cpu", precision=precision, threads=threads)
    return lambda row: logprobs(loaded.model, row)


def transformers(folder: Path, *, threads: int) -> Logprobs:
    """Return the same from transformers in fp32."""
    import torch  # noqa: PLC0415
    from transformers import GPT2LMHeadModel  # noqa: PLC0415

    torch.set_num_threads(threads)
    model: Any = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)

    @torch.inference_mode()
    def logprobs(row: Sequence[int]) -> list[float]:
        ids = torch.tensor([row])
        before = ids[:, :-1]
        logits = model(before, attention_mask=torch.ones_like(before)).logits[0]
        chances = torch.log_softmax(logits.float(), dim=-1)
        found: list[float] = chances.gather(1, ids[0, 1:, None])[:, 0].tolist()
        return found

    return logprobs


def answers(logprobs: Logprobs) -> Answers:
    def score(rows: list[list[int]]) -> dict[str, float]:
        found = [logprobs(row) for row in rows]
        if [len(values) for values in found] != [len(row) - 1 for row in rows]:
            raise ValueError("not every token after a row's first was scored")
        return {"nats": -math.fsum(map(math.fsum, found)), "tokens": sum(map(len, found))}

    return {"score": score}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("ours", "transformers"))
    parser.add_argument("precision", choices=("fp32", "int8"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    channel = open_channel()
    serve(
        channel,
        lambda: answers(
            ours(given.folder, precision=given.precision, threads=given.threads)
            if given.name == "ours"
            else transformers(given.folder, threads=given.threads)
        ),
    )


if __name__ == "__main__":
    main()
