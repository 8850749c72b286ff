import torch
from torch import Tensor

# Inputs of a product are quantised in groups of so many of a row, so that an outlier coarsens its own group alone.
GROUP = 64


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return 8-bit codes (columns, depth) and the scale of each column: weight ≈ codes x scale."""
    scales = (weight.abs().amax(dim=1) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
    return (weight / scales[:, None]).round_().to(torch.int8), scales
