"""What the clients ask for: a limited set of works, so that the text of each can be known beforehand."""

from dataclasses import dataclass
from typing import Any

# Prompts that do something to the worker: see worker_app.py.
POISON = "Poison, poison, poison"  # kills its process
RAISING = "Raise, raise, raise"  # raises in the engine
SLOW = "Slowly, slowly, slowly"  # makes every step of its engine last PACE seconds
PACE = 0.05
BOOK = "Page by page"  # and so does a book of this title, BOOK_PACE
BOOK_PACE = 0.02

PROMPTS = (
    "The sea", "And all the night", "Winter came", "O moon", "The old house", "Spring rain", "A bird",
    "The harvest was", "My heart", "In the valley", "The wind", "Upon the hill", "Once more", "The river",
    "She walked", "When morning",
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """One text, or several, that a seed determines."""

    prompt: str
    seed: int
    max_tokens: int
    n: int = 1
    top_k: int = 0
    whole: bool = False  # it may not end before max_tokens

    def body(self) -> dict[str, Any]:
        """Return the fields of a request for it."""
        return {
            "prompt": self.prompt,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "min_tokens": self.max_tokens if self.whole else 0,
            "n": self.n,
            "top_k": self.top_k,
        }


def _ordinary() -> tuple[Work, ...]:
    """About 32 tokens a job."""
    return tuple(
        Work(prompt, seed=100 * row + column, max_tokens=16 + (7 * (row + column)) % 20, n=1 + (column % 8 == row))
        if row % 2
        else Work(prompt, seed=100 * row + column, max_tokens=24 + (5 * column) % 24, top_k=40)
        for row in range(6)
        for column, prompt in enumerate(PROMPTS)
    )


ORDINARY = _ordinary()
# For faults that need to find jobs at work: 4 s, and 9 s, at the pace of slow engines.
SLOW_WORKS = tuple(Work(SLOW, seed=seed, max_tokens=80, whole=True) for seed in range(8))
LONG_WORKS = tuple(Work(SLOW, seed=seed, max_tokens=180, whole=True) for seed in range(8, 12))
HARMFUL = (Work(POISON, seed=1, max_tokens=16), Work(RAISING, seed=1, max_tokens=16))
ALL = (*ORDINARY, *SLOW_WORKS, *LONG_WORKS, *HARMFUL)

IS_ORDINARY = range(len(ORDINARY))
IS_SLOW = range(len(ORDINARY), len(ORDINARY) + len(SLOW_WORKS))
IS_LONG = range(IS_SLOW.stop, IS_SLOW.stop + len(LONG_WORKS))
IS_POISON, IS_RAISING = len(ALL) - 2, len(ALL) - 1
