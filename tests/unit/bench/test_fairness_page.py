"""The section on fairness says what was asked for, what was missed, and only what was measured."""

from dataclasses import replace
from pathlib import Path

from bench import provenance
from bench.fairness import figures, page
from bench.fairness.figures import Figure, at_most
from bench.fairness.options import Options

ETA = [Figure("eta_p90_held", 0.8603, "of the jobs")]


def written(folder: Path, **parts: list[Figure]) -> str:
    options = replace(Options(), results=folder, page=folder / "page.md")
    for part, found in parts.items():
        figures.keep(part, found, folder)
        provenance.keep("fairness", part, provenance.of_now("bench.fairness", [part], ["celery"]), folder)
    page.write(options)
    return options.page.read_text()


def test_a_missed_bound_is_said_at_the_top_and_where_it_stands(tmp_path: Path) -> None:
    text = written(tmp_path, weights=[at_most("weights_deviation", 0.07, "of a share", 0.05)])

    assert "Of 1 bounds 0 held; missed: `weights_deviation`." in text
    assert "| `weights_deviation` | 0.07 of a share | ≤ 0.05, **missed** |" in text


def test_a_p90_that_does_not_hold_is_said_to_fall_short(tmp_path: Path) -> None:
    assert "it held for 86, 4 in 100 short of it" in written(tmp_path, eta=ETA)


def test_a_p90_that_holds_is_said_to_hold(tmp_path: Path) -> None:
    text = written(tmp_path, eta=[replace(ETA[0], value=0.91)])

    assert "it held for 91. The first" in text


def test_parts_that_were_not_measured_are_left_out(tmp_path: Path) -> None:
    text = written(tmp_path, eta=ETA)

    assert "### Predicted starts" in text
    assert "### Growth" not in text
