"""Which fault comes when: a function of the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

FIRST = 2.0  # seconds before the first fault


@dataclass(frozen=True)
class Kind:
    """A fault by name, and how many seconds to leave it before the next one."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Planned:
    at: float  # seconds from the start of the load
    name: str


def plan(kinds: Sequence[Kind], seed: int, seconds: float) -> list[Planned]:
    """Return the faults of a run: every kind once, in the order of the seed's choosing, then again, to the end.

    The first round is always whole, however short the run.
    """
    choice = random.Random(seed)
    planned: list[Planned] = []
    at, first_round = FIRST, True
    while first_round or at < seconds:
        for kind in choice.sample(kinds, len(kinds)):
            if not first_round and at >= seconds:
                break
            planned.append(Planned(at, kind.name))
            at += kind.seconds * choice.uniform(1.0, 1.3)
        first_round = False
        if not kinds:
            break
    return planned
