"""Write the model card: the template `card.md`, filled from `figures.json` and the config.

No number is typed by hand, so the card says what was measured.
"""

import json
from typing import Any

from training import config

TEMPLATE = config.HERE / "card.md"


def spans(overlap: dict[str, Any]) -> str:
    """One table row of span lengths, in tokens and in characters."""
    cells = [overlap[unit][key] for unit in ("tokens", "characters") for key in ("median", "p90", "largest")]
    return " | ".join(f"{cell:.0f}" for cell in cells)


def standing(held_out: dict[str, Any]) -> str:
    """Say plainly whether the model beats the n-gram that saw the whole corpus."""
    if held_out["perplexity"] < held_out["ngram"]["perplexity"]:
        return "It beats both n-grams, the second of which saw exactly as much text."
    if held_out["perplexity"] < held_out["ngram_on_equal_tokens"]["perplexity"]:
        return (
            "It beats the n-gram that saw as much text, and not the one that counted the whole "
            "corpus: it is undertrained."
        )
    return "It does not reach the n-grams: it is undertrained."


def samples(card: list[dict[str, Any]]) -> str:
    """The card's samples as text blocks."""
    return "".join(
        f"\nSeed {entry['seed']}:\n\n```text\n{entry['header']}{entry['text'].strip()}\n```\n" for entry in card
    ).rstrip()


def render(settings: config.Config, figures: dict[str, Any]) -> str:
    """Fill the template; `KeyError` names a figure that is missing."""
    held_out, drawn = figures["held_out"], figures["samples"]
    drawn_shapes = figures["documents"]["train"]
    names = {"bare": "no header", "theme": "theme", "title": "title", "both": "both"}
    return TEMPLATE.read_text(encoding="utf-8").format(
        settings=settings,
        figures=figures,
        corpus=figures["corpus"],
        documents=figures["documents"],
        training=figures["training"],
        held_out=held_out,
        drawn=drawn,
        minutes=figures["training"]["seconds"] / 60,
        share=figures["training"]["tokens"] / figures["training_tokens_available"],
        shapes=", ".join(f"{name} {drawn_shapes[key]:,}" for key, name in names.items()),
        standing=standing(held_out),
        bands="\n".join(f"| {band} | {loss} |" for band, loss in held_out["loss_by_position"].items()),
        sample_spans=spans(drawn["overlap_of_samples"]),
        real_spans=spans(drawn["overlap_of_held_out_verse"]),
        card=samples(figures["card"]),
    )


def main() -> None:
    """Write `checkpoints/<name>/README.md`."""
    settings = config.load()
    folder = config.CHECKPOINTS / settings.name
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(render(settings, figures), encoding="utf-8")
    print(f"card: checkpoints/{settings.name}/README.md")


if __name__ == "__main__":
    main()
