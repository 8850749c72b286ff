"""Whether a text is a function of its seed and tokens alone on this machine, and under which name.

`choose_layout` measures which padded shapes keep a row's bits; `numerics_of` then checks the whole model and
names the result. Two workers with the same name continue each other's texts exactly.

Measured with MKL 2024.2 in strict mode: on an Intel CPU one row gives the bits of many; on an AMD one (Zen 4)
products of fewer than 4 rows, and attention over 193 to 383 keys, have bits of their own. So the shapes are
tried, not assumed.
"""

import hashlib
import logging

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.gpt2 import Gpt2
from worker.engine.layout import Layout, candidate_buckets
from worker.engine.weights import Shape

# Part of the name: raise it whenever a change to this package changes bits.
ENGINE_VERSION = "1"

_ROWS = (1, 4, 8)
_PROMPT_TOKENS = 150
_DECODED = 12
_CHUNKS = (1, 3, 17, 64)

logger = logging.getLogger(__name__)


@torch.inference_mode()
def choose_layout(shape: Shape, context: int, device: torch.device, dtype: torch.dtype) -> Layout:
    """Return the cheapest layout whose attention and products keep their bits, as far as a trial shows."""
    for rows in _ROWS:
        if _products_agree(shape, rows, device, dtype):
            return Layout(rows, _agreeing_buckets(shape, rows, context, device, dtype))
    return Layout(1, candidate_buckets(context))


@torch.inference_mode()
def numerics_of(model: Gpt2, context: int) -> str | None:
    """Run the self-test; return the name of this machine's bits, or None if they depend on company."""
    whole = _whole_prefill(model, context)
    others = (_chunked(model, context), _decoded_alone(model, context), _decoded_in_company(model, context))
    if not all(torch.equal(whole, other) for other in others):
        logger.warning(
            "numerics_unstable: logits depend on the batch here; this worker promises nothing about repeats"
        )
        return None
    sha = hashlib.sha256()
    names = (model.weights.digest(), model.dtype, _processor(model.device), torch.__version__, ENGINE_VERSION)
    sha.update(repr((*names, model.layout)).encode())
    # The bits themselves tell processors apart that report the same instruction set.
    sha.update(whole.cpu().numpy().tobytes())
    return sha.hexdigest()[:16]


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.cpu.get_cpu_capability()


def _products_agree(shape: Shape, rows: int, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the first of `rows` rows has the same bits among more rows, for each matrix of the model."""
    for inner, outer in _matrices(shape):
        matrix, x = _noise((outer, inner), device, dtype), _noise((256, inner), device, dtype)
        alone = functional.linear(x[:rows], matrix)[0]
        if any(not torch.equal(alone, functional.linear(x[:m], matrix)[0]) for m in (rows + 1, 8, 33, 256)):
            return False
    return True


def _matrices(shape: Shape) -> tuple[tuple[int, int], ...]:
    # A slice of the head suffices: what varies is the order of summation, over the inner size.
    head = (shape.width, min(shape.padded_vocabulary, 1024))
    width, inner = shape.width, shape.inner
    return (width, 3 * width), (width, width), (width, inner), (inner, width), head


def _agreeing_buckets(
    shape: Shape, rows: int, context: int, device: torch.device, dtype: torch.dtype
) -> tuple[int, ...]:
    """Return the key lengths that give the bits of the longest one."""
    *shorter, longest = candidate_buckets(context)
    # All heads, laid out as in the cache: with a single one the threads would share its products out otherwise.
    size = (1, longest, shape.heads, shape.head_size)
    keys, values = (_noise(size, device, dtype, seed).transpose(1, 2) for seed in (0, 1))
    whole = _causal(keys, values, longest)
    return (
        *(
            length
            for length in shorter
            if torch.equal(whole[:, :, :length], _causal(keys, values, length))
            and _last_query_agrees(whole, keys, values, length, rows)
        ),
        longest,
    )


def _causal(keys: Tensor, values: Tensor, length: int) -> Tensor:
    """Attend from each of the first `length` positions, whose queries are their keys, to those before."""
    keys, values = keys[:, :, :length], values[:, :, :length]
    mask = torch.full((length, length), -torch.inf, device=keys.device, dtype=keys.dtype).triu_(1)
    return functional.scaled_dot_product_attention(keys, keys, values, attn_mask=mask)


def _last_query_agrees(whole: Tensor, keys: Tensor, values: Tensor, length: int, rows: int) -> bool:
    """Whether the query of the last position, alone in its `rows` rows, has the bits it has among all."""
    query = keys[:, :, length - 1 : length].expand(-1, -1, rows, -1).contiguous()
    mask = torch.zeros((rows, length), device=keys.device, dtype=keys.dtype)
    alone = functional.scaled_dot_product_attention(
        query, keys[:, :, :length], values[:, :, :length], attn_mask=mask
    )
    return torch.equal(alone[:, :, 0], whole[:, :, length - 1])


def _noise(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device=device, dtype=dtype)


def _prompt(model: Gpt2, context: int, variant: int = 0) -> list[int]:
    length = min(_PROMPT_TOKENS, context - 1)
    return [(7919 * (i + 1) + 104729 * variant) % model.weights.shape.vocabulary for i in range(length)]


def _whole_prefill(model: Gpt2, context: int) -> Tensor:
    ids = _prompt(model, context)
    return model.logits(model.prefill(model.new_cache(1, context), 0, 0, ids)[-_DECODED:])


def _chunked(model: Gpt2, context: int) -> Tensor:
    ids, cache = _prompt(model, context), model.new_cache(1, context)
    hidden: list[Tensor] = []
    start = 0
    while start < len(ids):
        size = _CHUNKS[len(hidden) % len(_CHUNKS)]
        hidden.append(model.prefill(cache, 0, start, ids[start : start + size]))
        start += size
    return model.logits(torch.cat(hidden)[-_DECODED:])


def _decoded_alone(model: Gpt2, context: int) -> Tensor:
    ids, cache = _prompt(model, context), model.new_cache(1, context)
    first = len(ids) - min(_DECODED, len(ids))
    if first:
        model.prefill(cache, 0, 0, ids[:first])
    return torch.cat([model.decode(cache, [ids[at]], [at]) for at in range(first, len(ids))])


def _decoded_in_company(model: Gpt2, context: int) -> Tensor:
    """Decode the prompt's end in the middle slot of a batch whose size and neighbours change."""
    ids, cache = _prompt(model, context), model.new_cache(8, context)
    first = len(ids) - min(_DECODED, len(ids))
    if first:
        model.prefill(cache, 1, 0, ids[:first])
    results = []
    for step, at in enumerate(range(first, len(ids))):
        size = 2 + step % 7
        others = [(step * (i + 3)) % context for i in range(size)]
        tokens, positions = [i + step for i in range(size)], others
        tokens[1], positions[1] = ids[at], at
        vocabulary = model.weights.shape.vocabulary
        results.append(model.decode(cache, [t % vocabulary for t in tokens], positions)[1:2])
    return torch.cat(results)
