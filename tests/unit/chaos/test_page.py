"""What a fault run writes down: its figures among those of others, and the page from them."""

import json
from pathlib import Path

import pytest

from bench import section
from chaos import figures, page
from chaos.figures import Figure


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "chaos.json")
    return tmp_path / "chaos.json"


def written(results: Path, monkeypatch: pytest.MonkeyPatch, **parts: list[Figure]) -> str:
    for name, found in parts.items():
        figures.keep(name, found, results)
    text: list[str] = []
    monkeypatch.setattr(section, "put", lambda _, lines: text.extend(lines))
    monkeypatch.setattr(figures, "read", lambda: [Figure(**each) for each in json.loads(results.read_text())])
    page.write()
    return "\n".join(text)


def test_a_part_takes_the_place_of_its_own_figures_alone(results: Path) -> None:
    figures.keep("seed_1", [Figure("jobs", 10, "jobs"), Figure("lost", 1, "jobs", 0)], results)
    figures.keep("seed_11", [Figure("jobs", 11, "jobs")], results)

    figures.keep("seed_1", [Figure("jobs", 12, "jobs")], results)

    assert {figure.name: figure.value for figure in figures.read(results)} == {
        "seed_11_jobs": 11, "seed_1_jobs": 12,
    }  # fmt: skip


def test_a_violation_is_said_at_the_top_and_where_it_stands(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storm = [Figure("jobs", 20_000, "jobs"), Figure("violations", 1, "", 0)]

    text = written(results, monkeypatch, seed_1=storm)

    assert "Of 1 bounds 0 held; missed: `seed_1_violations`." in text
    assert "| violations of any promise | 1 (≤ 0, **missed**) |" in text


def test_faults_are_told_with_their_recoveries(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storm = [
        Figure("jobs", 100, "jobs"),
        Figure("injected_worker_killed", 2, "times"),
        Figure("recovery_after_worker_killed_p50", 0.5, "s"),
        Figure("recovery_after_worker_killed_max", 0.75, "s"),
        Figure("injected_api_killed", 1, "times"),
    ]

    text = written(results, monkeypatch, short_seed_4=storm)

    assert "| worker killed | 2 x: 0.50 / 0.75 s |" in text
    assert "| API killed | 1 x |" in text
    assert "| Valkey killed | - |" in text


def test_a_broken_build_that_was_not_caught_is_said(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(results, monkeypatch, broken_fence=[Figure("not_caught", 1, "builds", 0)])

    assert "- without the check of fences: **not caught**" in text
