"""Where the time goes at batch 64: what bounds the totals."""

import json
import subprocess
import sys
from collections.abc import Mapping

from bench.engine.checkpoint import made
from bench.engine.driver import PeerFailed, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.report import Figure
from quire.settings import REPOSITORY

KINDS = ("products", "attention", "norms", "draw", "rest")
REQUESTS = 64
GIGA = 1e9


def measure(options: Options) -> Measured:
    folder = made(options)
    figures: list[Figure] = []
    for precision in options.precisions:
        command = [
            *(sys.executable, "-m", "bench.engine.profiled", str(folder), precision),
            *("--threads", str(options.threads), "--requests", str(REQUESTS), "--prompt", str(options.prompt)),
            *("--new-tokens", str(options.new_tokens), "--vocabulary", str(options.vocabulary)),
        ]
        ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise PeerFailed(f"profile of {precision}: {ran.stderr[-2000:]}")
        figures += _figures(precision, json.loads(ran.stdout.splitlines()[-1]))
    return Measured(figures)


def _figures(precision: str, found: Mapping[str, float]) -> list[Figure]:
    total = found["total"]
    seconds = {kind: found[kind] for kind in KINDS if kind in found}
    seconds["rest"] = total - sum(seconds.values())
    figures = [
        Figure(f"profile_{precision}_{kind}", 100 * seconds[kind] / total, "% of the time") for kind in KINDS
    ]
    figures.append(Figure(f"profile_{precision}_rate", found["rate"] / GIGA, "billion operations/s"))
    for figure in figures:
        say(f"{figure.name:32} {figure.value:8.1f} {figure.unit}")
    return figures
