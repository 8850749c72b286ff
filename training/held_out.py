"""Held-out loss of a checkpoint, beside what simpler models of the same text reach."""

import math
import zlib

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training import config, ngram
from training.rows import END, Reader, Tokens, load_tokens
from training.sampling import text_of

ROWS_AT_ONCE = 4
Losses = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Targets = np.ndarray[tuple[int, int], np.dtype[np.int64]]


def token_losses(model: PreTrainedModel, ids: torch.Tensor) -> Losses:
    """Nats of every token after the first: ids (rows, tokens) to float64 (rows, tokens - 1)."""
    parts = []
    with torch.inference_mode():
        for part in torch.split(ids, ROWS_AT_ONCE):
            logits = model(part[:, :-1], attention_mask=torch.ones_like(part[:, :-1])).logits
            nats = functional.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].flatten(), reduction="none")
            parts.append(nats.view(len(part), -1).double().numpy())
    losses: Losses = np.concatenate(parts)
    return losses


def ngram_losses(train: Tokens, rows: Targets, settings: config.Config) -> Losses:
    """Nats of every token of `rows` (rows, tokens) under an n-gram counted on `train`."""
    order = settings.evaluation.ngram_order
    # End marks in front keep one row's tokens out of the next row's contexts.
    padded = np.pad(rows, ((0, 0), (order - 1, 0)), constant_values=END).astype(np.uint16)
    chances = ngram.chances(train, padded.ravel(), order, settings.vocabulary.size)
    losses: Losses = -np.log(chances.reshape(padded.shape)[:, order - 1 :])
    return losses


def summary(losses: Losses, size: int) -> dict[str, float]:
    """Mean nats and perplexity a token, and bits a byte over `size` bytes."""
    return {
        "nats_per_token": round(float(losses.mean()), 4),
        "perplexity": round(math.exp(losses.mean()), 2),
        "bits_per_byte": round(float(losses.sum()) / math.log(2) / size, 4),
    }


def bands(losses: Losses, width: int) -> dict[str, float]:
    """Mean nats a token for each band of `width` positions, named `0-63` and so on."""
    means = losses.mean(axis=0)
    return {
        f"{low}-{min(low + width, len(means)) - 1}": round(float(means[low : low + width].mean()), 4)
        for low in range(0, len(means), width)
    }


def figures(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: config.Config,
    trained_tokens: int,
) -> dict[str, object]:
    """Losses on the same held-out rows: the model, zlib, and an n-gram.

    The n-gram is counted twice, over all training tokens and over as many as
    the model was trained on, taken in the same order.

    Bits per byte spread the nats of all tokens, headers and end marks included,
    over the UTF-8 bytes of the rows, an end mark counted as one byte.
    """
    evaluation = settings.evaluation
    length = settings.model.positions
    ids = Reader(load_tokens("validation"), settings.seed).batch(evaluation.rows, length)
    print(f"evaluate: {ids.numel():,} held-out tokens", flush=True)
    losses = token_losses(model, ids)
    targets = ids[:, 1:].numpy()
    pieces = [text_of(tokenizer, row) for row in targets.tolist()]
    text = "".join(pieces).replace(config.END_OF_TEXT, "\0").encode()
    print("evaluate: counting n-grams", flush=True)
    train = load_tokens("train")
    as_much = Reader(train, settings.seed).row(trained_tokens)
    return {
        "tokens": losses.size,
        "bytes": len(text),
        **summary(losses, len(text)),
        "ngram": summary(ngram_losses(train, targets, settings), len(text)),
        "ngram_on_equal_tokens": summary(ngram_losses(as_much, targets, settings), len(text)),
        "zlib_bits_per_byte": round(8 * len(zlib.compress(text, 9)) / len(text), 4),
        "loss_by_position": bands(losses, evaluation.band),
    }
