import torch
from torch import Tensor


class History:
    """The tokens at each position of each slot's sequence, (slots, positions), as far as the device needs them.

    Every draw is noted here, so that the next step can begin before the host knows it; what came before the first
    draw is noted for the sequences with penalties.
    """

    def __init__(self, device: torch.device) -> None:
        self.tokens: Tensor = torch.zeros((0, 0), dtype=torch.int64, device=device)

    def fit(self, slots: int, positions: int) -> None:
        """Make room for so many slots and positions; what is noted stays."""
        old = self.tokens
        if slots <= old.shape[0] and positions <= old.shape[1]:
            return
        shape = (max(slots, old.shape[0]), max(positions, old.shape[1]))
        self.tokens = torch.zeros(shape, dtype=torch.int64, device=old.device)
        self.tokens[: old.shape[0], : old.shape[1]] = old
