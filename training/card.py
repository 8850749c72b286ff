"""Write the model card: the template of the checkpoint's kind, filled from `figures.json` and the config.

No number is typed by hand, so the card says what was measured.
"""

import json
import shutil
from collections.abc import Mapping
from typing import Any

from training import config

Figures = Mapping[str, Any]
OPTIMISERS = {"adamw": "AdamW", "muon": "Muon for the matrices of the blocks and AdamW for the rest"}


def spans(spread: Figures, digits: int = 0) -> str:
    """Table cells of a distribution: median, 90 %, 99 %, largest."""
    return " | ".join(f"{spread[key]:.{digits}f}" for key in ("median", "p90", "p99", "largest"))


def domain_row(name: str, found: Figures) -> str:
    """One table row: how hard a domain is for the model, the n-grams and zlib."""
    models = [found[key] for key in ("model", "ngram", "ngram_on_equal_tokens")]
    cells = [f"{model['perplexity']:.2f} | {model['bits_per_byte']:.3f}" for model in models]
    return f"| {name} | {found['tokens']:,} | {' | '.join(cells)} | {found['zlib_bits_per_byte']:.3f} |"


def standing(held_out: Figures) -> str:
    """Say plainly whether the model beats the n-grams."""
    perplexity = {key: held_out[key]["perplexity"] for key in ("model", "ngram", "ngram_on_equal_tokens")}
    if perplexity["model"] < min(perplexity["ngram"], perplexity["ngram_on_equal_tokens"]):
        return "The model beats both n-grams."
    if perplexity["model"] < perplexity["ngram_on_equal_tokens"]:
        return (
            "The model beats the n-gram that saw as much text, and not the one that counted the whole "
            "training text: it is undertrained."
        )
    return "The model does not reach the n-grams: it is undertrained."


def samples(card: list[Figures]) -> str:
    """The card's samples as text blocks."""
    blocks = []
    for entry in card:
        cut = "" if entry["ended"] else ", cut"
        blocks.append(f"\nSeed {entry['seed']}{cut}:\n\n```text\n{entry['header']}{entry['text']}\n```\n")
    return "".join(blocks).rstrip()


def counts(found: Mapping[str, int]) -> str:
    """`a 12, b 3`."""
    return ", ".join(f"{name} {count:,}" for name, count in found.items())


def gathered(corpus: Figures) -> str:
    """What was counted on the way to a corpus of texts."""
    said = []
    if verse := corpus.get("verse"):
        said.append(
            f"{verse['usable_lines']:,} lines of English verse were usable, {verse['unique_lines']:,} of them "
            f"English and no repeated passage; {verse['held_out_blocks_dropped']} held-out blocks that shared a "
            "long line with the training text were dropped."
        )
    if "zh_texts" in corpus:
        said.append(
            f"{corpus['zh_texts']:,} Chinese texts were whole; for training, without those that repeat others: "
            f"{counts(corpus['zh_forms'])}."
        )
    return "\n".join(said)


def render(settings: config.Config, figures: Figures) -> str:
    """Fill the template; `KeyError` names a figure that is missing."""
    held_out, drawn = figures["held_out"], figures["samples"]
    rows = [("all", held_out["all"]), *held_out["by_domain"].items()]
    available = sum(figures["tokens"]["train"].values())
    template = (config.HERE / settings.kind / "card.md").read_text(encoding="utf-8")
    return template.format(
        settings=settings,
        parameters=figures["parameters"],
        corpus=figures["corpus"],
        gathered=gathered(figures["corpus"]),
        prompt=settings.evaluation.prompts[0].strip(),
        refused=counts(figures["corpus"].get("refused", {})),
        styles=counts(figures["corpus"].get("styles", {})),
        modes=counts(figures["corpus"].get("modes", {})),
        training=figures["training"],
        minutes=figures["training"]["seconds"] / 60,
        available=available,
        optimiser=OPTIMISERS[settings.training.optimiser],
        passes=figures["training"]["tokens"] / available,
        packages="\n".join(
            f"- `{package.name}` {package.version} ({package.client}): {package.rights}."
            for package in settings.packages.values()
        ),
        domains="\n".join(domain_row(name, found) for name, found in rows),
        standing=standing(held_out["all"]),
        bands="\n".join(f"| {band} | {loss} |" for band, loss in held_out["loss_by_position"].items()),
        drawn=drawn,
        form={key: "none was asked for" if value is None else value for key, value in drawn["form"].items()},
        tokens_samples=spans(drawn["verbatim_samples"]["tokens"]),
        tokens_held_out=spans(drawn["verbatim_held_out"]["tokens"]),
        share_samples=spans(drawn["verbatim_samples"]["share_of_text"], 2),
        share_held_out=spans(drawn["verbatim_held_out"]["share_of_text"], 2),
        **{
            key: spans(value)
            for key, value in drawn["form"].items()
            if key in {"intervals_samples", "intervals_held_out"}
        },
        card=samples(figures["card"]),
    )


def run(settings: config.Config) -> None:
    """Write `checkpoints/<name>/README.md`, and `CREDITS` where the corpus has some."""
    folder = config.CHECKPOINTS / settings.name
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(render(settings, figures), encoding="utf-8")
    if (settings.work / "CREDITS").exists():
        shutil.copyfile(settings.work / "CREDITS", folder / "CREDITS")
    print(f"card: checkpoints/{settings.name}/README.md", flush=True)
