"""What a request may ask of every next token: the hook for forms that must hold."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Constraint(Protocol):
    """A state machine over the generated tokens of one text.

    Its state must follow from the tokens alone: a text that is resumed begins with a new one, which is given the
    tokens so far. `allowed` is called on a thread of its own while the model computes, and never together with
    `accept`.
    """

    def allowed(self) -> NDArray[np.bool_] | None:
        """Return for each token of the vocabulary whether it may come next; None if all may."""
        ...

    def accept(self, token: int) -> None:
        """Go on to the state after `token`."""
        ...


MakeConstraint = Callable[[], Constraint]
