"""Draw what training wrote down: losses, held-out loss by domain, learning rate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

MOST_DOMAINS = 8


def plot(curve: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Three panels over the tokens trained; a small PNG."""
    mpl.use("Agg")
    figure, (losses, domains, rates) = plt.subplots(1, 3, figsize=(11, 3.2), dpi=80, layout="constrained")
    tokens = [record["tokens"] / 1e6 for record in curve]
    checks = [record for record in curve if "held_out" in record]
    places = [record["tokens"] / 1e6 for record in checks]
    losses.plot(tokens, [record["loss"] for record in curve], label="training")
    losses.plot(places, [record["held_out"]["all"] for record in checks], "o-", label="held-out", markersize=3)
    losses.set(ylabel="loss, nats a token")
    for name in [name for name in checks[-1]["held_out"] if name != "all"][:MOST_DOMAINS]:
        domains.plot(places, [record["held_out"].get(name) for record in checks], "o-", label=name, markersize=3)
    domains.set(ylabel="held-out loss, nats a token")
    domains.margins(y=0.35)
    rates.plot(tokens, [record["rate"] for record in curve])
    rates.set(ylabel="learning rate")
    for axes in (losses, domains, rates):
        axes.set(xlabel="million tokens trained")
        axes.grid(visible=True, alpha=0.3)
    losses.legend()
    domains.legend(fontsize=6, ncols=2, loc="upper right")
    figure.savefig(path)
    plt.close(figure)
