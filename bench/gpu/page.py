"""Writes the GPU's section of docs/benchmarks.md from the figures that were kept; nothing is measured here."""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from bench import report
from bench.report import RESULTS, Figure

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN = "<!-- begin: written by `python -m bench.gpu.page` -->"
END = "<!-- end: written by `python -m bench.gpu.page` -->"
PROVENANCE = "gpu.provenance.json"
PACKAGES = ("torch", "triton", "transformers")
BATCHES = (1, 8, 64, 256, 512)
SHAPES = {"124M": "GPT-2 124M", "xl": "GPT-2 xl (1.5 B)"}


def keep_provenance(device: torch.device, folder: Path) -> None:
    """Note on what, with what and when the figures in `folder` were measured."""
    facts = {
        "device": torch.cuda.get_device_name(device),
        "versions": {name: version(name) for name in PACKAGES},
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    (folder / PROVENANCE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def write(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Replace the section in the page, or add it at its end."""
    figures = {figure.name: figure for figure in report.read("gpu", results)}
    facts = json.loads((results / PROVENANCE).read_text(encoding="utf-8"))
    section = "\n".join([BEGIN, *_section(figures, facts), END])
    text = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        text = before + section + rest.partition(END)[2]
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    page.write_text(text, encoding="utf-8")


def _section(figures: Mapping[str, Figure], facts: Mapping[str, object]) -> Iterator[str]:
    versions = facts["versions"]
    named = ", ".join(f"{name} {number}" for name, number in dict(versions).items())  # type: ignore[call-overload]
    copied = figures["copy bandwidth, read and written"].value
    yield "## The engine on a GPU"
    yield ""
    yield (
        f"`python -m bench.gpu` on one {facts['device']}; {named}; bf16, random weights, prompts of 32 tokens, "
        f"top-k 50. The byte floor is the time that reading all weights, and the keys and values of the context, "
        f"takes at the {copied:,.0f} GB/s that copying on the device reaches. *{facts['date']}*"
    )
    yield ""
    for shape, title in SHAPES.items():
        if f"{shape} batch 1: tokens" in figures:
            yield from _steps(figures, shape, title)
    yield (
        "Where whole steps fall behind the device alone, the host bounds them: Python plans, sends and delivers "
        "the tokens of each text. Few texts leave the device itself waiting for its own small kernels."
    )
    yield ""
    yield from _peer(figures)
    yield from _others(figures)


def _steps(figures: Mapping[str, Figure], shape: str, title: str) -> Iterator[str]:
    context = figures[f"{shape} batch 1: mean context"].value

    def shown(batch: int, what: str, digits: int) -> str:
        return f"{figures[f'{shape} batch {batch}{what}'].value:,.{digits}f}"

    rows: dict[str, tuple[str, int]] = {
        "tokens/s": (": tokens", 0),
        "step, median, ms": (": step, median", 2),
        "step, 99 of 100, ms": (": step, 99 of 100", 2),
        "share of the byte floor, %": (": share of the byte floor", 0),
        "the same of the device alone, %": (", device alone, context 304: share of the byte floor", 0),
    }
    yield f"{title}, mean context {context:.0f}, whole steps of the engine:"
    yield ""
    yield f"| running requests | {' | '.join(map(str, BATCHES))} |"
    yield "|---|" + "---|" * len(BATCHES)
    for name, (what, digits) in rows.items():
        yield f"| {name} | {' | '.join(shown(batch, what, digits) for batch in BATCHES)} |"
    yield ""


def _peer(figures: Mapping[str, Figure]) -> Iterator[str]:
    for figure in figures.values():
        if figure.ratio is not None:
            theirs = figures[f"{figure.name}, by {figure.peer}"].value
            yield (
                f"{figure.name}, all there at once, until the last is done: {figure.value:,.0f} tokens/s, "
                f"{figure.ratio:.1f} times what {figure.peer} does on this device in the same run: {theirs:,.0f}."
            )
            yield ""


def _others(figures: Mapping[str, Figure]) -> Iterator[str]:
    yield "How near bf16 comes to fp32 on a CPU, and how far a text depends on its company here:"
    yield ""
    yield "| figure | value |"
    yield "|---|---|"
    for name, figure in figures.items():
        if name.startswith(("124M random:", "quire-")):
            yield f"| {name} | {figure.value:,.3g} {figure.unit} |"
    yield ""


if __name__ == "__main__":
    write()
    sys.exit(0)
