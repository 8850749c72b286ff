"""How far bf16 on the device is from fp32 on the CPU, by the same weights and tokens."""

import random
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.gpu.models import gpu_backend, random_checkpoint, reference_backend, verse
from bench.report import Figure
from worker.engine import Delta, Engine, Request, Sampling
from worker.engine.blocks import blocks_for
from worker.engine.gpt2 import Gpt2
from worker.engine.loading import LoadedModel, build
from worker.engine.rows import Rows
from worker.engine.weights import Shape

OPENINGS = (
    "The rose of morning\n",
    "A poem about the sea and the moon.\n\n",
    "When winter comes,",
    "O wild west wind, thou breath of",
    "She walks",
    "In the city of iron and rain\nI heard a voice",
    "Song\n\n",
    "My love is like",
)


def logits(model: Gpt2, ids: Sequence[int]) -> Tensor:
    """Return the logits after each of `ids`, on the CPU."""
    table = blocks_for(len(ids))
    rows = Rows(ids, range(len(ids)), [0] * len(ids), range(len(ids)), array("i", range(table)), table)
    return model.forward(rows, model.new_cache(table)).cpu()


def compared(name: str, ours: Gpt2, reference: Gpt2, texts: Sequence[Sequence[int]]) -> list[Figure]:
    """Compare the logits after every token of `texts`."""
    found = torch.cat([logits(ours, ids) for ids in texts]).double()
    expected = torch.cat([logits(reference, ids) for ids in texts]).double()
    if not bool(torch.isfinite(found).all()):
        raise ArithmeticError(f"{name}: the device computed logits that are not numbers")
    error = (found - expected).norm() / expected.norm()
    agreeing = (found.argmax(-1) == expected.argmax(-1)).double().mean()
    return [
        Figure(f"{name}: error of the logits", error.item(), "of their norm"),
        Figure(f"{name}: largest error of a logit", (found - expected).abs().max().item(), "nats"),
        Figure(f"{name}: best token is the reference's", 100 * agreeing.item(), "%"),
    ]


def random_weights(name: str, shape: Shape, device: torch.device, *, texts: int, tokens: int) -> list[Figure]:
    draw = random.Random(name)
    ids = [[draw.randrange(shape.vocabulary) for _ in range(tokens)] for _ in range(texts)]
    # Made on the CPU for both, since generators of different devices draw different numbers.
    ours, reference = (
        build(random_checkpoint(shape, torch.device("cpu")), backend)
        for backend in (gpu_backend(device), reference_backend())
    )
    return compared(f"{name} random", ours, reference, ids)


def trained_weights(device: torch.device, *, texts: int, tokens: int) -> list[Figure]:
    """Compare the checkpoint that comes with the repository: logits, and texts of the best tokens."""
    ours, reference = verse(gpu_backend(device)), verse(reference_backend())
    asked = [
        Request(tuple(ours.tokenizer.encode(opening)), Sampling(seed=0, temperature=0, max_tokens=tokens))
        for opening in OPENINGS[:texts]
    ]
    expected = greedy(reference, asked)
    found = greedy(ours, asked)
    whole = [[*request.prompt, *ids] for request, ids in zip(asked, expected, strict=True)]
    equal = sum(one == other for one, other in zip(found, expected, strict=True))
    return [
        *compared("quire-verse", ours.model, reference.model, whole),
        Figure("quire-verse: greedy texts equal to the reference's", 100 * equal / len(asked), "%"),
    ]


def greedy(loaded: LoadedModel, asked: Sequence[Request]) -> list[list[int]]:
    engine = Engine(loaded, slots=len(asked))
    return tokens_of(engine, asked)


def tokens_of(engine: Engine, asked: Sequence[Request]) -> list[list[int]]:
    """Run requests in the calling thread, all at once, and return the tokens of each."""
    texts: list[list[int]] = [[] for _ in asked]

    def collect(text: list[int], delta: Delta) -> None:
        text.extend(delta.tokens)

    futures = [
        engine.submit(request, lambda delta, text=text: collect(text, delta))  # type: ignore[misc]
        for request, text in zip(asked, texts, strict=True)
    ]
    while not all(future.done() for future in futures):
        engine.step()
    for future in futures:
        future.result(timeout=0)
    return texts
