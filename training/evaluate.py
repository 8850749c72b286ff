"""Measure the exported checkpoint: `figures.json`, and the learning curves as a picture."""

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from training import config, curves, documents, held_out, overlap, rows
from training.sampling import Sample, sample

Measure = Callable[[config.Config, Sequence[Sample], Sequence[str]], dict[str, object]]


def held_out_texts(settings: config.Config) -> list[tuple[str, str]]:
    """Header line and body of each held-out document."""
    texts = [document.text for document in documents.read(settings.work / "validation.jsonl")]
    return [(head + "\n", body) for text in texts for head, _, body in [text.partition("\n")]]


def verbatim(tokenizer: PreTrainedTokenizerBase, texts: list[list[int]], train: rows.Tokens) -> dict[str, object]:
    """Longest span of each text that stands word for word in the training text."""
    spans = overlap.longest_spans([rows.as_tokens(text) for text in texts], train)
    pieces = [
        str(tokenizer.decode(text[span.start : span.start + span.length]))
        for text, span in zip(texts, spans, strict=True)
    ]
    return {
        "tokens": overlap.spread([span.length for span in spans]),
        "characters": overlap.spread([len(piece) for piece in pieces]),
        "share_of_text": overlap.spread(
            [span.length / max(1, len(text)) for text, span in zip(texts, spans, strict=True)]
        ),
        "longest": max(pieces, key=len),
    }


def sample_figures(folder: Path, tokenizer: PreTrainedTokenizerBase, settings: config.Config) -> dict[str, object]:
    """What many samples copy and whether they keep their form, beside held-out texts.

    Sample n gets the header of held-out document n, going round where there are fewer, and seed n.
    """
    evaluation = settings.evaluation
    texts = held_out_texts(settings)
    prompts = [(texts[n % len(texts)][0], n) for n in range(evaluation.samples)]
    written = sample(folder, prompts, evaluation)
    bodies = [body for _, body in texts[: evaluation.samples]]
    real = [list(tokenizer.encode(body))[: evaluation.sample_tokens] for body in bodies]
    train = rows.load(settings.work, "train").tokens
    measure: Measure = importlib.import_module(f"training.{settings.kind}.measuring").measure
    return {
        "samples": len(written),
        "ended": sum(one.ended for one in written),
        "verbatim_samples": verbatim(tokenizer, [list(one.ids) for one in written], train),
        "held_out_texts": len(real),
        "verbatim_held_out": verbatim(tokenizer, real, train),
        "form": measure(settings, written, [head + body for head, body in texts]),
    }


def run(settings: config.Config) -> None:
    """Write `figures.json` and `learning-curves.png` beside the exported weights."""
    folder = config.CHECKPOINTS / settings.name
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()  # type: ignore[no-untyped-call]
    lines = (settings.work / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    curve = [json.loads(line) for line in lines]
    curves.plot(curve, folder / "learning-curves.png")
    seeds = [(header, seed) for seed, header in enumerate(settings.evaluation.prompts, 1)]
    read = {
        name: json.loads((settings.work / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("corpus", "encoded", "machine")
    }
    figures = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "corpus": read["corpus"],
        "tokens": read["encoded"]["tokens"],
        "training": curve[-1] | read["machine"],
        "held_out": held_out.figures(model, tokenizer, settings, curve[-1]["tokens"]),
        "samples": sample_figures(folder, tokenizer, settings),
        "card": [
            {"seed": one.seed, "header": one.header, "text": one.text, "ended": one.ended}
            for one in sample(folder, seeds, settings.evaluation)
        ],
    }
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")
    print(f"evaluate: {figures['held_out']}", flush=True)
