"""What each client means to do: a function of the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.checker import CANCELLED, DEADLINE, HELD, PLAIN, POISON, RAISING
from chaos.works import IS_ORDINARY, IS_POISON, IS_RAISING, IS_SLOW


@dataclass(frozen=True)
class Intent:
    """One job that a client wants, and what it does beside submitting it."""

    key: str
    work: int
    kind: str = PLAIN
    priority: int = 0
    seconds: float = 0.0  # until its deadline, its start, or before it is cancelled
    again: bool = False  # it sends the request once more, as if it had lost the answer
    read: bool = False  # the client waits for its end

    def metadata(self) -> dict[str, str]:
        """Return what goes along with the job, so that the database says what was meant by it."""
        return {"key": self.key, "work": str(self.work), "intent": self.kind}


def intents(seed: int, client: str, jobs: int, *, slow: float = 0.01) -> list[Intent]:
    """Return what one client does, in its order. `slow`: the share of jobs that last seconds."""
    choice = random.Random(f"{seed}/{client}")
    return [_intent(choice, f"{client}-{number}", slow) for number in range(jobs)]


def _intent(choice: random.Random, key: str, slow: float) -> Intent:
    works: Sequence[int] = IS_SLOW if choice.random() < slow else IS_ORDINARY
    (kind,) = choice.choices((PLAIN, CANCELLED, DEADLINE, HELD), (88, 5, 4, 3))
    return Intent(
        key=key,
        work=choice.choice(works),
        kind=kind,
        priority=choice.choice((0, 0, 0, -5, 5)),
        seconds=choice.uniform(0.0, 3.0) if kind != DEADLINE else choice.uniform(1.0, 8.0),
        again=choice.random() < 0.05,
        read=choice.random() < 0.1,
    )


def harmful(kind: str, key: str) -> Intent:
    """Return the intent to do harm: `POISON` or `RAISING`."""
    return Intent(key, {POISON: IS_POISON, RAISING: IS_RAISING}[kind], kind, priority=50)
