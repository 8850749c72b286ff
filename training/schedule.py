"""How far a training run is, and the learning rate that follows from it."""

import math
from dataclasses import dataclass

from training import config


@dataclass
class Progress:
    """How far a run is: what is saved beside the weights."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cursor: int = 0

    def advance(self, tokens: int, cursor: int, seconds: float) -> None:
        """Count one step."""
        self.step += 1
        self.tokens += tokens
        self.cursor = cursor
        self.seconds += seconds

    def record(self) -> dict[str, float]:
        """What the learning curve says of this moment."""
        return {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1)}

    def share(self, settings: config.Training) -> float:
        """Share of the schedule that is done, 0 to 1."""
        spent = self.seconds / (60 * settings.minutes) if settings.minutes else 0.0
        return min(1.0, max(self.step / settings.steps, spent))


def learning_rate(share: float, settings: config.Training) -> float:
    """Linear warm-up, then a cosine down to `final_rate` of the full rate."""
    if share < settings.warm_up:
        return settings.learning_rate * (share + 1e-3) / settings.warm_up
    along = (share - settings.warm_up) / (1 - settings.warm_up)
    cosine = 0.5 * (1 + math.cos(math.pi * along))
    return settings.learning_rate * (settings.final_rate + (1 - settings.final_rate) * cosine)
