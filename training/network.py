"""The GPT-2 that is trained: plain modules whose parameters are named as `transformers` names them.

Radford et al. (2019): pre-norm blocks, learned positions, tanh GELU, a head tied to the token
embedding. Weights of the linear layers are (inputs, outputs), as the original keeps them.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training import config

INITIAL_DEVIATION = 0.02


class Linear(nn.Module):
    """`x @ weight + bias`, weight (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, deviation: float = INITIAL_DEVIATION) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * deviation)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return functional.linear(x, self.weight.t(), self.bias)


class Attention(nn.Module):
    """Masked multi-head self-attention."""

    def __init__(self, shape: config.Model) -> None:
        super().__init__()
        self.heads = shape.heads
        self.c_attn = Linear(shape.width, 3 * shape.width)
        self.c_proj = Linear(shape.width, shape.width, INITIAL_DEVIATION / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) to the same."""
        rows, length, width = x.shape
        split = self.c_attn(x).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.c_proj(mixed.transpose(1, 2).reshape(rows, length, width))
        return out


class FeedForward(nn.Module):
    """Two layers, four times as wide between them."""

    def __init__(self, shape: config.Model) -> None:
        super().__init__()
        self.c_fc = Linear(shape.width, 4 * shape.width)
        self.c_proj = Linear(4 * shape.width, shape.width, INITIAL_DEVIATION / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) to the same."""
        out: Tensor = self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """Attention and feed-forward, each on the normalised stream and added to it."""

    def __init__(self, shape: config.Model) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(shape.width)
        self.attn = Attention(shape)
        self.ln_2 = nn.LayerNorm(shape.width)
        self.mlp = FeedForward(shape)
        self.dropout = shape.dropout

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) to the same."""
        x = x + functional.dropout(self.attn(self.ln_1(x)), self.dropout, self.training)
        return x + functional.dropout(self.mlp(self.ln_2(x)), self.dropout, self.training)


class Transformer(nn.Module):
    """Embeddings, blocks and the last norm, under the names that `transformers` has for them."""

    def __init__(self, shape: config.Model, vocabulary: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, shape.width)
        self.wpe = nn.Embedding(shape.positions, shape.width)
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width)
        for table in (self.wte, self.wpe):
            nn.init.normal_(table.weight, std=INITIAL_DEVIATION)


class Network(nn.Module):
    """Token ids to the loss of the next ones."""

    def __init__(self, shape: config.Model, vocabulary: int) -> None:
        super().__init__()
        self.dropout = shape.dropout
        self.transformer = Transformer(shape, vocabulary)

    def logits(self, ids: Tensor) -> Tensor:
        """Scores of the next token: int64 (rows, tokens) to (rows, tokens, vocabulary)."""
        parts = self.transformer
        x = parts.wte(ids) + parts.wpe.weight[: ids.shape[1]]
        x = functional.dropout(x, self.dropout, self.training)
        for block in parts.h:
            x = block(x)
        return functional.linear(parts.ln_f(x), parts.wte.weight)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Loss of each target, nats: int64 (rows, tokens) twice to fp32 (rows, tokens)."""
        logits = self.logits(ids).flatten(0, 1)
        losses = functional.cross_entropy(logits.float(), targets.flatten(), reduction="none")
        return losses.view(targets.shape)
