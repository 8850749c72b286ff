"""How probable a given text is to a model: for measures of quality, not for serving."""

from array import array
from collections.abc import Sequence

import torch

from worker.engine.blocks import blocks_for
from worker.engine.gpt2 import Gpt2
from worker.engine.rows import Rows

_CHUNK = 128


def logprobs(model: Gpt2, ids: Sequence[int]) -> list[float]:
    """Return the log-probability of each of ids[1:] after those before it; at most a context of them."""
    blocks = blocks_for(len(ids))
    cache, tables = model.new_cache(blocks), array("i", range(blocks))
    values: list[float] = []
    for start in range(0, len(ids) - 1, _CHUNK):
        positions = range(start, min(start + _CHUNK, len(ids) - 1))
        rows = Rows(
            [ids[at] for at in positions], positions, [0] * len(positions), range(len(positions)), tables, blocks
        )
        following = torch.tensor([ids[at + 1] for at in positions], device=model.backend.device)
        logits = torch.log_softmax(model.forward(rows, cache), dim=-1)
        values += logits.gather(1, following[:, None])[:, 0].tolist()
    return values
