"""The forward pass of GPT-2 (Radford et al. 2019) over a slot cache.

Shapes: a decode step has one token for each of `batch` slots, a prefill has `tokens` tokens of one slot;
both run the same layers over a flat list of rows, and both attend through the same call, so that a token's
keys, values and logits have the same bits either way (`numerics` verifies it at start).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.kv_cache import KvCache
from worker.engine.layout import Layout
from worker.engine.weights import Block, Weights

# (layer, queries, keys, values) → attended; each (rows, heads, head size)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
Activation = Callable[[Tensor], Tensor]

_GELU_TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")


class Gpt2:
    """The model with its weights; it holds no state of any sequence."""

    def __init__(self, weights: Weights, layout: Layout) -> None:
        self.weights = weights
        self.layout = layout
        self.device = weights.tokens.device
        self.dtype = weights.tokens.dtype
        self._activation = _activation(weights.shape.activation)
        self._heads = (weights.shape.heads, weights.shape.head_size)

    def new_cache(self, slots: int, context: int) -> KvCache:
        """Return an empty cache; it has at least as many slots as a padded batch has rows."""
        return KvCache(
            layers=self.weights.shape.layers,
            slots=max(slots, self.layout.rows),
            heads=self.weights.shape.heads,
            head_size=self.weights.shape.head_size,
            context=context,
            device=self.device,
            dtype=self.dtype,
        )

    @torch.inference_mode()
    def prefill(self, cache: KvCache, slot: int, start: int, ids: Sequence[int]) -> Tensor:
        """Write the keys and values of `ids`, which stand at positions `start` … of `slot`.

        Positions below `start` must have been written. Returns the last hidden states (tokens, width).
        """
        count, rows = len(ids), self.layout.padded_rows(len(ids))
        length = self.layout.bucket(start + count)
        tokens = torch.zeros(rows, dtype=torch.long, device=self.device)
        tokens[:count] = torch.tensor(ids, device=self.device)
        # Padding rows repeat the last position, so that they attend to something.
        positions = torch.arange(start, start + rows, device=self.device).clamp_(max=start + count - 1)
        mask = self._mask(positions, length)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            cached_keys, cached_values = cache.keys[layer][slot], cache.values[layer][slot]
            cached_keys[start : start + count] = keys[:count]
            cached_values[start : start + count] = values[:count]
            return self._attention(
                layer, queries[None], cached_keys[None, :length], cached_values[None, :length], mask
            )[0]

        return self._layers(self._embed(tokens, positions), attend)[:count]

    @torch.inference_mode()
    def decode(self, cache: KvCache, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Run one token for each of the slots 0 … batch-1, standing at `positions`; return their logits.

        The result is (batch, padded vocabulary) in fp32, with -inf in the padding.
        """
        batch = len(tokens)
        # Padding rows write to the first position of unused slots, where a prefill will overwrite it.
        padding = [0] * (max(batch, self.layout.rows) - batch)
        ids = torch.tensor([*tokens, *padding], device=self.device)
        places = torch.tensor([*positions, *padding], device=self.device)
        slots = torch.arange(len(ids), device=self.device)
        length = self.layout.bucket(max(positions) + 1)
        mask = self._mask(places, length)[:, None, None].expand(-1, -1, self.layout.rows, -1)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            cached_keys, cached_values = cache.keys[layer][: len(ids)], cache.values[layer][: len(ids)]
            cached_keys[slots, places] = keys
            cached_values[slots, places] = values
            repeated = queries[:, None].expand(-1, self.layout.rows, -1, -1).contiguous()
            return self._attention(layer, repeated, cached_keys[:, :length], cached_values[:, :length], mask)[:, 0]

        return self._head(self._layers(self._embed(ids, places), attend))[:batch]

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of last hidden states (rows, width), in the form `decode` gives them."""
        rows = hidden.shape[0]
        missing = max(rows, self.layout.rows) - rows
        return self._head(functional.pad(hidden, (0, 0, 0, missing)))[:rows]

    def _head(self, hidden: Tensor) -> Tensor:
        logits = functional.linear(hidden, self.weights.head).float()
        logits[:, self.weights.shape.vocabulary :] = -torch.inf
        return logits

    def _embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.weights.tokens[tokens] + self.weights.positions[positions]

    def _layers(self, hidden: Tensor, attend: Attend) -> Tensor:
        for layer, block in enumerate(self.weights.blocks):
            hidden = self._layer(layer, block, hidden, attend)
        return self._norm(hidden, self.weights.norm, self.weights.norm_bias)

    def _layer(self, layer: int, block: Block, hidden: Tensor, attend: Attend) -> Tensor:
        normed = self._norm(hidden, block.norm1, block.norm1_bias)
        qkv = functional.linear(normed, block.qkv, block.qkv_bias).view(-1, 3, *self._heads)
        attended = attend(layer, *qkv.unbind(1)).reshape(hidden.shape)
        hidden = hidden + functional.linear(attended, block.projection, block.projection_bias)
        normed = self._norm(hidden, block.norm2, block.norm2_bias)
        inner = self._activation(functional.linear(normed, block.expand, block.expand_bias))
        return hidden + functional.linear(inner, block.contract, block.contract_bias)

    def _norm(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.layer_norm(hidden, weight.shape, weight, bias, self.weights.shape.epsilon)

    def _attention(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attend from queries (batch, rows, heads, head size) to keys (batch, length, heads, head size)."""
        q, k, v = (tensor.transpose(1, 2) for tensor in (queries, keys, values))
        scale = self.weights.shape.attention_scale(layer)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale).transpose(1, 2)

    def _mask(self, positions: Tensor, length: int) -> Tensor:
        """Return (rows, length): 0 where a key stands at or before the row's position, else -inf."""
        seen = torch.arange(length, device=self.device) <= positions[:, None]
        mask = torch.full(seen.shape, -torch.inf, device=self.device, dtype=self.dtype)
        return mask.masked_fill_(seen, 0.0)


def _activation(name: str) -> Activation:
    if name in _GELU_TANH:
        return lambda inner: functional.gelu(inner, approximate="tanh")
    plain: dict[str, Activation] = {"gelu": functional.gelu, "relu": functional.relu, "tanh": torch.tanh}
    return plain.get(name, functional.silu)
