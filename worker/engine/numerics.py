"""Whether a text is a function of its seed and tokens alone on this machine, and under which name.

A model that has just been loaded computes the same tokens whole, in chunks, one by one, and in changing
company, with its cache in scattered blocks. If the logits agree in every bit, they are named; two workers with
the same name continue each other's texts exactly.
"""

import hashlib
import logging
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from worker.engine.blocks import blocks_for
from worker.engine.gpt2 import Gpt2
from worker.engine.rows import Rows

# Part of the name: raise it whenever a change to this package changes bits or draws.
ENGINE_VERSION = "2"

_PROMPT_TOKENS = 150
_DECODED = 12
_CHUNKS = (1, 3, 17, 64)
_COMPANY = 8

logger = logging.getLogger(__name__)


def numerics_of(model: Gpt2) -> str | None:
    """Run the self-test; return the name of this machine's bits, or None if they depend on company."""
    ids = _text(model)
    whole = _run(model, ids, [len(ids)])
    others = (
        _run(model, ids, _chunks(len(ids))),
        _run(model, ids, [len(ids) - _DECODED, *[1] * _DECODED] if len(ids) > _DECODED else [1] * len(ids)),
        _run(model, ids, [1] * len(ids), company=_COMPANY),
    )
    if not all(torch.equal(whole, other) for other in others):
        logger.warning(
            "numerics_unstable: logits depend on the batch here; this worker promises nothing about repeats"
        )
        return None
    sha = hashlib.sha256()
    sha.update(repr((model.digest, model.backend.name, ENGINE_VERSION)).encode())
    # The bits themselves tell processors, compilers and libraries apart, and only where they differ.
    sha.update(whole.cpu().numpy().tobytes())
    return sha.hexdigest()[:16]


def _text(model: Gpt2, variant: int = 0) -> list[int]:
    length = min(_PROMPT_TOKENS, model.shape.context)
    return [(7919 * (i + 1) + 104729 * variant) % model.shape.vocabulary for i in range(length)]


def _chunks(length: int) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < length:
        sizes.append(min(_CHUNKS[len(sizes) % len(_CHUNKS)], length - sum(sizes)))
    return sizes


def _run(model: Gpt2, ids: Sequence[int], sizes: Sequence[int], *, company: int = 1) -> Tensor:
    """Return the logits of the last tokens of `ids`, run in chunks of `sizes`, in the company of other texts."""
    per_slot = blocks_for(len(ids))
    cache = model.new_cache(company * per_slot)
    # Blocks of all texts lie mixed up.
    tables = array("i", [block * company + slot for slot in range(company) for block in range(per_slot)])
    others = [_text(model, variant) for variant in range(1, company)]
    results, start = [], 0
    for step, size in enumerate(sizes):
        # How many others there are changes from step to step, and with it the row that the text has.
        present = [i for i in range(len(others)) if (step + i) % 3]
        before, after = present[: len(present) // 2], present[len(present) // 2 :]
        rows = [
            *((others[i][start], start, i + 1) for i in before),
            *((ids[at], at, 0) for at in range(start, start + size)),
            *((others[i][start], start, i + 1) for i in after),
        ]
        tokens, positions, slots = zip(*rows, strict=True)
        wanted = range(len(before), len(before) + size)
        results.append(model.forward(Rows(tokens, positions, slots, wanted, tables, per_slot), cache).clone())
        start += size
    return torch.cat(results)[-_DECODED:]
