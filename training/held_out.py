"""Held-out loss of a checkpoint by domain, beside what simpler models of the same text reach."""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training import config, ngram, rows

ROWS_AT_ONCE = 4
Losses = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Targets = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Mask = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def token_losses(model: PreTrainedModel, ids: torch.Tensor) -> Losses:
    """Nats of every token after the first: ids (rows, tokens) to float64 (rows, tokens - 1)."""
    parts = []
    with torch.inference_mode():
        for part in track(torch.split(ids, ROWS_AT_ONCE), "evaluate: held-out rows"):
            logits = model(part[:, :-1], attention_mask=torch.ones_like(part[:, :-1])).logits
            nats = functional.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].flatten(), reduction="none")
            parts.append(nats.view(len(part), -1).double().numpy())
    losses: Losses = np.concatenate(parts)
    return losses


def ngram_losses(train: rows.Tokens, targets: Targets, settings: config.Config) -> Losses:
    """Nats of every token of `targets` (rows, tokens) under an n-gram counted on `train`."""
    order = settings.evaluation.ngram_order
    # End marks in front keep one row's tokens out of the next row's contexts.
    padded = np.pad(targets, ((0, 0), (order - 1, 0)), constant_values=rows.END).astype(np.uint16)
    chances = ngram.chances(train, padded.ravel(), order, settings.vocabulary.size)
    losses: Losses = -np.log(chances.reshape(padded.shape)[:, order - 1 :])
    return losses


def bands(losses: Losses, width: int) -> dict[str, float]:
    """Mean nats a token for each band of `width` positions, named `0-63` and so on."""
    means = losses.mean(axis=0)
    return {
        f"{low}-{min(low + width, len(means)) - 1}": round(float(means[low : low + width].mean()), 4)
        for low in range(0, len(means), width)
    }


@dataclass(frozen=True)
class Measured:
    """Held-out targets, int64 (rows, tokens), and the losses of each model on them, nats."""

    targets: Targets
    losses: Mapping[str, Losses]
    tokenizer: PreTrainedTokenizerBase

    def summary(self, mask: Mask) -> dict[str, object]:
        """Perplexity a token and bits a byte of every model over the targets of `mask`, and zlib's bits a byte.

        The nats of all tokens, headers and end marks included, are spread over the UTF-8 bytes of the
        tokens, an end mark counted as one byte.
        """
        ids = self.targets[mask]
        names = self.tokenizer.convert_ids_to_tokens(ids.tolist())
        # A byte-level vocabulary spells every byte as one character.
        size = sum(1 if name == config.END_OF_TEXT else len(name) for name in names)
        text = str(self.tokenizer.decode(ids.tolist())).replace(config.END_OF_TEXT, "\0").encode()
        found: dict[str, object] = {
            name: {
                "perplexity": round(math.exp(losses[mask].mean()), 3),
                "bits_per_byte": round(float(losses[mask].sum()) / math.log(2) / size, 4),
            }
            for name, losses in self.losses.items()
        }
        zipped = round(8 * len(zlib.compress(text, 9)) / len(text), 4)
        return {"tokens": len(ids), "bytes": size, **found, "zlib_bits_per_byte": zipped}


def figures(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: config.Config, trained_tokens: int
) -> dict[str, object]:
    """Losses on the same held-out rows: the model, n-grams and zlib, over all and by domain.

    The n-gram is counted twice: over one pass of the training text, and over as many tokens as the model was
    trained on, taken in the same order.
    """
    evaluation, length = settings.evaluation, settings.model.positions
    unseen = rows.held_out(rows.load(settings.work, "validation"), length, evaluation.rows, settings.seed)
    targets: Targets = unseen.ids[:, 1:].numpy()
    train = rows.load(settings.work, "train")
    first_pass = rows.lay_out(train, rows.pass_order(train, settings.repeats, settings.seed, 0), length)
    losses = {
        "model": token_losses(model, unseen.ids),
        "ngram": ngram_losses(first_pass.stream, targets, settings),
        "ngram_on_equal_tokens": ngram_losses(first_pass.stream[:trained_tokens], targets, settings),
    }
    measured = Measured(targets, losses, tokenizer)
    domains = unseen.domains.numpy()
    by_domain = {
        name: measured.summary(domains == place)
        for place, name in enumerate(unseen.names)
        if (domains == place).any()
    }
    return {
        "all": measured.summary(np.ones_like(domains, dtype=bool)),
        "by_domain": by_domain,
        "loss_by_position": bands(losses["model"], evaluation.band),
    }
