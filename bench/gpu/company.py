"""How many seeded texts come out the same alone and in company, where matrix products promise no such thing."""

from bench.gpu.correctness import OPENINGS, tokens_of
from bench.report import Figure
from worker.engine import Engine, Request, Sampling
from worker.engine.loading import LoadedModel


def company_figures(name: str, loaded: LoadedModel, *, texts: int, tokens: int) -> list[Figure]:
    """Write each text alone, and then all together; random weights would hide differences."""
    asked = [
        Request(
            tuple(loaded.tokenizer.encode(OPENINGS[seed % len(OPENINGS)])),
            Sampling(seed=seed, temperature=0.8, top_p=0.95, max_tokens=tokens),
        )
        for seed in range(texts)
    ]
    engine = Engine(loaded, slots=texts)
    alone = [tokens_of(engine, [request])[0] for request in asked]
    together = tokens_of(engine, asked)
    equal = sum(one == other for one, other in zip(alone, together, strict=True))
    agreed = sum(_agreed(one, other) for one, other in zip(alone, together, strict=True))
    return [
        Figure(f"{name}: texts equal alone and among {texts}", 100 * equal / texts, "%"),
        Figure(f"{name}: tokens before they part", agreed / texts, f"of {tokens}"),
    ]


def _agreed(one: list[int], other: list[int]) -> int:
    """Return how many tokens two texts begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
