"""What the peers are given to do: requests as token ids, the same for all of them, from a fixed seed.

No two rounds share a prompt, so that whoever keeps the prefixes it has seen gains nothing by it.
"""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from string import ascii_lowercase
from typing import Any

# The one setting of every peer that has no settings of each request.
TOP_50: Mapping[str, float] = {"temperature": 1.0, "top_k": 50}
FILTERS: tuple[Mapping[str, float], ...] = (
    TOP_50,
    {"temperature": 0.8, "top_p": 0.95},
    {"temperature": 0.7, "top_k": 40, "top_p": 0.9},
    {"temperature": 1.2, "min_p": 0.05},
)
PENALTIES: tuple[Mapping[str, float], ...] = (
    {"repetition_penalty": 1.2},
    {"presence_penalty": 0.6, "frequency_penalty": 0.3},
    {"repetition_penalty": 1.1, "frequency_penalty": 0.2},
)
SHORTEST = 16


@dataclass(frozen=True)
class Job:
    """A prompt to continue by exactly `new_tokens`; `sampling` are fields of the engine's `Sampling`.

    `form`: which of `forms.FORMS` our engine holds it to; the form must take more tokens than these.
    """

    prompt: list[int]
    new_tokens: int
    seed: int = 0
    sampling: Mapping[str, float] = field(default_factory=lambda: dict(TOP_50))
    form: str | None = None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Ran:
    """What a run took, from the first request handed in to the last token of the last one."""

    seconds: float
    tokens: int

    @property
    def rate(self) -> float:
        """New tokens a second."""
        return self.tokens / self.seconds


def equal(count: int, *, prompt: int, new_tokens: int, vocabulary: int, seed: str) -> list[Job]:
    """Return jobs of equal lengths with random prompts."""
    draw = random.Random(seed)
    return [Job(_prompt(draw, prompt, vocabulary), new_tokens, seed=index) for index in range(count)]


def mixed(count: int, *, longest: int, vocabulary: int, seed: str) -> list[Job]:
    """Return jobs whose prompts and outputs are SHORTEST to `longest` tokens, every second one with penalties."""
    draw = random.Random(seed)
    return [
        Job(
            _prompt(draw, draw.randint(SHORTEST, longest), vocabulary),
            draw.randint(SHORTEST, longest),
            seed=index,
            sampling={**draw.choice(FILTERS), **(draw.choice(PENALTIES) if index % 2 else {})},
        )
        for index in range(count)
    ]


def ragged(count: int, *, shortest: int, longest: int, new_tokens: int, vocabulary: int, seed: str) -> list[Job]:
    """Return jobs whose prompts are `shortest` to `longest` tokens, their outputs equally long."""
    draw = random.Random(seed)
    return [
        Job(_prompt(draw, draw.randint(shortest, longest), vocabulary), new_tokens, seed=index)
        for index in range(count)
    ]


def poisson(count: int, *, rate: float, seed: str) -> list[float]:
    """Return the seconds at which `count` requests arrive, `rate` a second on average."""
    draw = random.Random(seed)
    times = [draw.expovariate(rate)]
    while len(times) < count:
        times.append(times[-1] + draw.expovariate(rate))
    return times


def text(draw: random.Random, tokens: int) -> str:
    """Return a text of `tokens` made-up words, each one token of the vocabulary in `checkpoint.py`."""
    first = "".join(draw.choices(ascii_lowercase, k=2))
    return " ".join([first, *("".join(draw.choices(ascii_lowercase, k=3)) for _ in range(tokens - 1))])


def _prompt(draw: random.Random, length: int, vocabulary: int) -> list[int]:
    # Without the last id, which is the end of text.
    return [draw.randrange(vocabulary - 1) for _ in range(length)]
