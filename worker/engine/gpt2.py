"""The forward pass of GPT-2 (Radford et al. 2019), for rows of any sequences at once.

A row is one token at its position. Tokens of prompts and tokens that were just drawn are rows alike and run
together; what sets a prompt apart is only that it has more of them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from worker.engine.backends.backend import Backend, KvCache, Linear, Norm, Step
from worker.engine.rows import Rows
from worker.engine.weights import Shape


@dataclass(frozen=True, slots=True)
class Block:
    """One layer."""

    norm1: Norm
    qkv: Linear
    projection: Linear
    norm2: Norm
    expand: Linear
    contract: Linear


@dataclass(frozen=True, slots=True)
class Gpt2:
    """The model with its weights; it holds no state of any sequence."""

    shape: Shape
    backend: Backend
    tokens: Tensor
    positions: Tensor
    blocks: tuple[Block, ...]
    norm: Norm
    head: Linear
    digest: str

    def new_cache(self, blocks: int) -> KvCache[Any]:
        """Return an empty cache of so many blocks."""
        return self.backend.cache(
            blocks=blocks,
            scales=[self.shape.attention_scale(layer) for layer in range(self.shape.layers)],
            heads=self.shape.heads,
            head_size=self.shape.head_size,
        )

    @torch.inference_mode()
    def forward(self, rows: Rows, cache: KvCache[Any]) -> Tensor:
        """Run `rows` and return the logits of those wanted, in fp32: (wanted, vocabulary).

        They are valid until the next call.
        """
        step = cache.step(rows)
        hidden = cache.through(partial(self._layers, cache), step)
        logits = self.head(self.norm(hidden[step.wanted]))
        return logits[:, : self.shape.vocabulary].float()

    def _layers(self, cache: KvCache[Any], step: Step) -> Tensor:
        hidden = self.tokens[step.tokens] + self.positions[step.positions]
        for layer, block in enumerate(self.blocks):
            attended = cache.attend(layer, block.qkv(block.norm1(hidden)), step)
            hidden = block.projection.add(hidden, attended)
            hidden = block.contract.add(hidden, block.expand(block.norm2(hidden)))
        return hidden
