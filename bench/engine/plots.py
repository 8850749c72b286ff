"""Curves as small SVG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Curve = Sequence[tuple[int, float]]


def draw(path: Path, curves: Mapping[str, Curve], *, across: str, up: str) -> None:
    """Draw one line for each named curve; the axis across is logarithmic, and is marked where it was measured."""
    # Imported here: everything else of the benchmark works without it.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib import pyplot as plt  # noqa: PLC0415

    mpl.use("Agg")
    # Text as text keeps the file small; a fixed salt and no date make it the same for the same figures.
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "quire", "font.family": "sans-serif"}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
        for name, curve in curves.items():
            axes.plot([at for at, _ in curve], [value for _, value in curve], "o-", markersize=3, label=name)
        places = sorted({at for curve in curves.values() for at, _ in curve})
        axes.set_xscale("log", base=2)
        axes.set_xticks(places, [f"{place:,}" for place in places])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set(xlabel=across, ylabel=up)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
