"""The engine beside its peers. A part that fails does not keep the others from running; the exit status tells.

    python -m bench.engine all
    python -m bench.engine totals --rounds 1 --batches 1,8

Figures go to bench/results/engine.json, where those of other parts stay, and from there to docs/benchmarks.md.
"""

import argparse
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from bench import provenance, report
from bench.engine import (
    arrivals,
    contention,
    end_to_end,
    forms,
    growth,
    mixed,
    page,
    profile,
    quality,
    totals,
)
from bench.engine.driver import say
from bench.engine.options import Options, add_options, options_of
from bench.engine.part import Measured

PARTS: Mapping[str, Callable[[Options], Measured]] = {
    "totals": totals.measure,
    "profile": profile.measure,
    "mixed": mixed.measure,
    "arrivals": arrivals.measure,
    "growth": growth.measure,
    "quality": quality.measure,
    "contention": contention.measure,
    "end_to_end": end_to_end.measure,
    "forms": forms.measure,
}
ALL, PAGE = "all", "page"
WITH_CTRANSLATE2 = ("totals",)
PACKAGES = ("torch", "transformers", "ctranslate2", "celery", "psycopg")


def main(arguments: Sequence[str]) -> int:
    """Measure the parts that are named, and write the page; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.engine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=[ALL, *PARTS, PAGE], help="page only writes the page anew")
    add_options(parser)
    given = parser.parse_args(arguments)
    options = options_of(given)
    names = [name for name in PARTS if name in given.parts or ALL in given.parts]
    if set(names) & set(WITH_CTRANSLATE2) and importlib.util.find_spec("ctranslate2") is None:
        say(
            "CTranslate2, a peer of this benchmark, is not installed: pip install -c constraints.txt -e '.[bench]'"
        )
        return 1
    failed = [name for name in names if not _measured(name, options, arguments)]
    page.write(options)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return int(bool(failed))


def _measured(name: str, options: Options, arguments: Sequence[str]) -> bool:
    """Measure one part and keep its figures; returns whether that went well."""
    say(f"--- {name} ---")
    try:
        measured = PARTS[name](options)
    except Exception:  # noqa: BLE001 - whatever it is, the figures of the other parts are worth having
        traceback.print_exc()
        return False
    report.merge("engine", measured.figures, options.results)
    now = provenance.of_now("bench.engine", arguments, PACKAGES, measured.notes)
    provenance.keep("engine", name, now, options.results)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
