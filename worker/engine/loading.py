import logging
from dataclasses import dataclass

import torch
from transformers.utils import logging as transformers_logging

from worker.engine.errors import ModelRefused
from worker.engine.gpt2 import Gpt2
from worker.engine.kv_cache import cache_bytes
from worker.engine.numerics import choose_layout, numerics_of
from worker.engine.tokenizer import Tokenizer, load_tokenizer
from worker.engine.weights import load_weights, read_shape

# Products of narrower models are too small to share out: waiting for the other threads costs more.
_NARROW = 512

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run, and the name of the bits it computes (None: it promises no repeats)."""

    model: Gpt2
    tokenizer: Tokenizer
    numerics: str | None


def load_model(source: str, *, slots: int, device: str, threads: int | None) -> LoadedModel:
    """Load the checkpoint `source` (a local folder or a hub id) and run the self-test.

    `device`: "cpu", "cuda", "cuda:1" … or "auto". `threads` is set for the whole process; None means one for a
    narrow model and torch's own choice for others.
    Raises ModelRefused with one sentence that says why the checkpoint cannot be run here.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place = _device(device)
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    shape, _ = read_shape(source)
    if threads is not None or shape.width < _NARROW:
        torch.set_num_threads(threads or 1)
    cache = cache_bytes(
        layers=shape.layers,
        slots=slots,
        heads=shape.heads,
        head_size=shape.head_size,
        context=shape.context,
        itemsize=dtype.itemsize,
    )
    weights = load_weights(source, device=place, dtype=dtype, cache_bytes=cache)
    tokenizer = load_tokenizer(source, vocabulary=shape.vocabulary, end_ids=weights.end_ids)
    model = Gpt2(weights, choose_layout(shape, shape.context, place, dtype))
    numerics = numerics_of(model, shape.context)
    logger.info("model_loaded source=%s device=%s layout=%s numerics=%s", source, place, model.layout, numerics)
    return LoadedModel(model, tokenizer, numerics)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type not in {"cpu", "cuda"}:
        raise ModelRefused(f"the device {name} is not supported, only cpu and cuda")
    return device
