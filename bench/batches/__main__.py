"""Measure batches, schedules and webhooks on one machine, in ten minutes; into results/batches.json.

python -m bench.batches [accept] [memory] [completion] [neighbours] [firing] [webhooks] [--small]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.batches.firing import firing
from bench.batches.running import completion, neighbours
from bench.batches.taking import accept, memory
from bench.batches.telling import telling
from bench.report import Figure, merge
from bench.system import System, running

Part = Callable[[System, Path, bool], list[Figure]]

PARTS: dict[str, Part] = {
    "accept": lambda system, folder, small: accept(system, folder, 500 if small else 50_000),
    "memory": lambda system, folder, small: memory(system, folder, 5 if small else 200),
    "completion": lambda system, folder, small: completion(system, folder, 2 if small else 20),
    "neighbours": lambda system, folder, small: neighbours(
        system, folder, 300 if small else 50_000, 3 if small else 30
    ),
    "firing": lambda system, _folder, small: firing(system, 200 if small else 10_000),
    "webhooks": lambda system, _folder, small: telling(system, 200 if small else 10_000, 4 if small else 20),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--small", action="store_true", help="a few of each, to see that it runs; kept nowhere")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder / "data", QUIRE_WEBHOOK_PRIVATE="true", QUIRE_MAX_WEBHOOKS="100") as system:
            for part in args.parts or PARTS:
                found = PARTS[part](system, folder, args.small)
                for figure in found:
                    print(f"{figure.name}: {figure.value:.3f} {figure.unit}", flush=True)
                figures += found
    if not args.small:
        merge("batches", figures)


if __name__ == "__main__":
    main()
