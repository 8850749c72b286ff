"""How far a training run is, and the learning rate that follows from it."""

from dataclasses import dataclass

from training import config


@dataclass
class Progress:
    """How far a run is: what is saved beside the weights."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def record(self) -> dict[str, float]:
        """What the learning curve says of this moment."""
        return {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1)}

    def share(self, settings: config.Training) -> float:
        """Share of the schedule that is done, 0 to 1: the larger of steps done and minutes spent."""
        spent = self.seconds / (60 * settings.minutes) if settings.minutes else 0.0
        return min(1.0, max(self.step / settings.steps, spent))


def learning_rate(share: float, settings: config.Training) -> float:
    """A linear warm-up, a plateau, and a straight line down to nothing over the last `cool_down`."""
    rising = (share + 1e-3) / settings.warm_up
    falling = (1 - share) / settings.cool_down
    return settings.learning_rate * max(0.0, min(1.0, rising, falling))
