"""Measure the exported checkpoint: `figures.json`, and the learning curve as a picture."""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training import config, held_out, overlap
from training.clean import WORD
from training.documents import read_documents
from training.headers import header
from training.rows import load_tokens
from training.sampling import sample, text_of


def split_header(document: str) -> tuple[str, str]:
    """Separate a document into its header, empty or ending in an empty line, and its lines."""
    head, gap, lines = document.rpartition("\n\n")
    return head + gap, lines


def spread(values: list[int]) -> dict[str, float]:
    """Median, 90th percentile and largest of some lengths."""
    return {
        "median": float(np.median(values)),
        "p90": float(np.percentile(values, 90)),
        "largest": float(max(values)),
    }


def shared(tokenizer: PreTrainedTokenizerBase, texts: list[list[int]]) -> dict[str, object]:
    """Longest span of each text that stands word for word in the training text."""
    arrays = [np.array(text, dtype=np.uint16) for text in texts]
    spans = overlap.longest_spans(arrays, load_tokens("train"))
    pieces = [
        text_of(tokenizer, text[span.start : span.start + span.length])
        for text, span in zip(texts, spans, strict=True)
    ]
    return {
        "texts": len(texts),
        "tokens": spread([span.length for span in spans]),
        "characters": spread([len(piece) for piece in pieces]),
        "longest": max(pieces, key=len),
    }


def theme_hits(heads: list[str], texts: list[str]) -> float | None:
    """Share of the theme words in `heads` that occur in the text of the same place."""
    asked = found = 0
    for head, text in zip(heads, texts, strict=True):
        _, gap, theme = head.rpartition("A poem about ")
        words = [word for word in WORD.findall(theme) if word != "and"] if gap else []
        asked += len(words)
        found += sum(word in WORD.findall(text.lower()) for word in words)
    return round(found / asked, 4) if asked else None


def sample_figures(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: config.Config
) -> dict[str, object]:
    """What many samples copy and whether they keep to their theme, beside held-out verse.

    Each sample gets the header of another held-out document.
    """
    evaluation = settings.evaluation
    pairs = [split_header(text) for text in read_documents("validation")[: evaluation.samples]]
    heads = [head for head, _ in pairs]
    print(f"evaluate: {len(heads)} samples", flush=True)
    written = sample(model, tokenizer, heads, evaluation, settings.seed)
    real = [tokenizer.encode(lines)[: evaluation.sample_tokens] for _, lines in pairs]
    texts = [text_of(tokenizer, ids) for ids in written]
    print("evaluate: looking for verbatim spans", flush=True)
    return {
        "overlap_of_samples": shared(tokenizer, written),
        "overlap_of_held_out_verse": shared(tokenizer, real),
        "ended_by_themselves": sum(len(ids) < evaluation.sample_tokens for ids in written),
        "theme_words_used": theme_hits(heads, texts),
        "theme_words_used_by_chance": theme_hits(heads, [*texts[1:], texts[0]]),
    }


def plot(curve: list[dict[str, float]], path: Path) -> None:
    """Draw training and held-out loss over tokens; a small PNG."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(6, 3.4), dpi=90, layout="constrained")
    axes.plot([r["tokens"] / 1e6 for r in curve], [r["loss"] for r in curve], label="training")
    checks = [r for r in curve if "held_out" in r]
    places = [r["tokens"] / 1e6 for r in checks]
    axes.plot(places, [r["held_out"] for r in checks], "o-", label="held-out", markersize=3)
    axes.set(xlabel="million tokens trained", ylabel="loss, nats a token")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Write `figures.json` and `learning-curve.png` beside the exported weights."""
    settings = config.load()
    folder = config.CHECKPOINTS / settings.name
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()  # type: ignore[no-untyped-call]
    curve = [json.loads(line) for line in (config.WORK / "curve.jsonl").read_text().splitlines()]
    plot(curve, folder / "learning-curve.png")
    figures = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "corpus": json.loads((config.WORK / "clean.json").read_text()),
        "documents": json.loads((config.WORK / "documents.json").read_text()),
        "training_tokens_available": len(load_tokens("train")),
        "training": curve[-1] | json.loads((config.WORK / "machine.json").read_text()),
        "held_out": held_out.figures(model, tokenizer, settings, curve[-1]["tokens"]),
        "samples": sample_figures(model, tokenizer, settings),
        "card": [
            {
                "seed": card.seed,
                "header": (head := header(card.title, card.theme)),
                "text": text_of(tokenizer, sample(model, tokenizer, [head], settings.evaluation, card.seed)[0]),
            }
            for card in settings.evaluation.card
        ],
    }
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(f"evaluate: {figures['held_out']}")


if __name__ == "__main__":
    main()
