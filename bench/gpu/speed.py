"""How fast steps of one token for each text are, and how near to the time that reading memory alone takes."""

import gc
import random
import statistics
import time
from array import array
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from bench.gpu.timing import seconds
from bench.report import Figure
from worker.engine import Engine, Finished, Request, Sampling
from worker.engine.blocks import BLOCK_TOKENS, blocks_for
from worker.engine.gpt2 import Gpt2
from worker.engine.loading import LoadedModel, kv_bytes
from worker.engine.rows import Rows
from worker.engine.sampler import Row

PROMPT = 32
TOP_K = 50


@dataclass(frozen=True)
class Steps:
    """The steps in which every text of a batch got a token: the time of each, and the tokens in memory at each."""

    batch: int
    seconds: Sequence[float]
    tokens_in_memory: Sequence[int]

    @property
    def rate(self) -> float:
        return self.batch * len(self.seconds) / sum(self.seconds)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def floor_seconds(model: Gpt2, tokens_in_memory: float, bandwidth: float) -> float:
    """Return how long it takes to read all weights, and the keys and values of so many tokens, once."""
    shape = model.shape
    weights = (shape.matrix_parameters + shape.table_parameters) * model.backend.dtype.itemsize
    return (weights + kv_bytes(shape, model.backend, 1) * tokens_in_memory) / bandwidth


def requests(count: int, *, vocabulary: int, prompt: int, new_tokens: int, seed: str) -> list[Request]:
    draw = random.Random(seed)
    return [
        Request(
            tuple(draw.randrange(vocabulary) for _ in range(prompt)),
            Sampling(seed=index, max_tokens=new_tokens, top_k=TOP_K),
        )
        for index in range(count)
    ]


def engine_for(loaded: LoadedModel, *, batch: int, longest: int) -> Engine:
    return Engine(loaded, slots=batch, kv_tokens=batch * blocks_for(longest) * BLOCK_TOKENS)


def run(engine: Engine, asked: Sequence[Request]) -> Steps:
    """Run the first requests of an engine to their end in the calling thread, and return their common steps."""
    gc.collect()
    gc.freeze()  # as `Engine.start` does
    futures: list[Future[Finished]] = [engine.submit(request, lambda _: None) for request in asked]
    times: list[float] = []
    sizes: list[int] = []
    before = engine.stats()
    while not all(future.done() for future in futures):
        begun = time.perf_counter()
        engine.step()
        ended = time.perf_counter()
        now = engine.stats()
        decoded = now.tokens_decoded - before.tokens_decoded
        if decoded == len(asked) and now.tokens_prefilled == before.tokens_prefilled:
            times.append(ended - begun)
            sizes.append(now.tokens_prefilled + now.tokens_decoded)
        before = now
    for future in futures:
        future.result(timeout=0)
    # The first has recorded a graph.
    return Steps(len(asked), times[1:], sizes[1:])


def engine_figures(
    name: str, loaded: LoadedModel, *, batch: int, new_tokens: int, bandwidth: float
) -> list[Figure]:
    """Measure whole steps as a worker makes them: planning, the device's work, and delivering of the texts."""
    engine = engine_for(loaded, batch=batch, longest=PROMPT + new_tokens)
    asked = requests(
        batch, vocabulary=engine.vocab_size, prompt=PROMPT, new_tokens=new_tokens, seed=f"{name} {batch}"
    )
    steps = run(engine, asked)
    engine.stop()
    mean = statistics.fmean(steps.tokens_in_memory)
    floor = floor_seconds(loaded.model, mean, bandwidth)
    label = f"{name} batch {batch}"
    return [
        Figure(f"{label}: tokens", steps.rate, "tokens/s"),
        Figure(f"{label}: step, median", 1000 * steps.percentile(0.5), "ms"),
        Figure(f"{label}: step, 99 of 100", 1000 * steps.percentile(0.99), "ms"),
        Figure(f"{label}: mean context", mean / batch, "tokens"),
        Figure(f"{label}: share of the byte floor", 100 * floor / statistics.fmean(steps.seconds), "%"),
    ]


def device_figures(
    name: str, loaded: LoadedModel, *, batch: int, context: int, bandwidth: float, repeats: int = 50
) -> list[Figure]:
    """Measure steps for whose tokens nobody waits: what the device takes, if the host begins them in time."""
    model = loaded.model
    device = model.backend.device
    table = blocks_for(context)
    cache: Any = model.new_cache(batch * table)
    for layer in cache.layers:
        for tensor in layer:
            tensor.normal_()  # zeros would be read faster than what a model writes
    draw = random.Random(f"{name} {batch}")
    # Blocks of all texts lie mixed up, as after a while of serving.
    blocks = draw.sample(range(batch * table), batch * table)
    rows = Rows(
        [draw.randrange(model.shape.vocabulary) for _ in range(batch)],
        [context - 1] * batch,
        range(batch),
        range(batch),
        array("i", blocks),
        table,
    )
    texts = [Row(Sampling(seed=i, top_k=TOP_K), [0], 1, context - 1, slot=i) for i in range(batch)]

    def forward() -> torch.Tensor:
        return model.forward(rows, cache)

    def step() -> object:
        return model.backend.draw(forward(), texts, frozenset())

    floor = floor_seconds(model, batch * context, bandwidth)
    alone, whole = (seconds(function, repeats=repeats, device=device) for function in (forward, step))
    label = f"{name} batch {batch}, device alone, context {context}"
    return [
        Figure(f"{label}: forward", 1000 * alone, "ms"),
        Figure(f"{label}: forward and draw", 1000 * whole, "ms"),
        Figure(f"{label}: tokens", batch / whole, "tokens/s"),
        Figure(f"{label}: share of the byte floor", 100 * floor / whole, "%"),
    ]
