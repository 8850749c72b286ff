from tests.unit.engine.interpreted import CPU  # first: it skips where Triton cannot run

# isort: split

import dataclasses
import json
from pathlib import Path

import pytest

from bench.gpu import __main__ as bench
from bench.gpu.company import company_figures
from bench.gpu.correctness import random_weights
from bench.gpu.models import random_model, shape_of
from bench.gpu.peer import peer_figures
from bench.gpu.speed import device_figures, engine_figures, floor_seconds
from bench.gpu.timing import copy_bandwidth
from bench.gpu.tune import attention_figures
from bench.report import Figure
from worker.engine.loading import LoadedModel

TINY = shape_of(layers=1, width=32, heads=2, vocabulary=300, context=64)
BANDWIDTH = 1e9


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return random_model(TINY, CPU)


def values(figures: list[Figure]) -> list[float]:
    return [figure.value for figure in figures]


def test_without_a_gpu_it_says_so_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.torch.cuda, "is_available", lambda: False)

    assert bench.main([]) == 1
    assert capsys.readouterr().err == "bench.gpu needs a GPU, and torch sees none here.\n"


def test_parts_that_fail_are_named_and_the_others_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Figure]:
        raise RuntimeError("a fault")

    monkeypatch.setattr(bench.torch.cuda, "get_device_name", lambda _: "a toy")
    monkeypatch.setattr("bench.gpu.timing.copy_bandwidth", lambda _: BANDWIDTH)
    monkeypatch.setattr(bench, "PARTS", {"broken": broken, "sound": lambda *_: [Figure("a", 2.0, "b")]})

    assert bench.measure(["broken", "sound"], CPU, tmp_path) == ["broken"]
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert [figure["name"] for figure in kept] == ["copy bandwidth, read and written", "a"]


def test_the_floor_is_one_reading_of_weights_and_context(loaded: LoadedModel) -> None:
    # 4 bytes: matrices of a layer, the table of 320 tokens, and keys and values of 10 tokens.
    expected = 4 * (12 * 32 * 32 + 320 * 32 + 10 * 2 * 32)

    assert floor_seconds(loaded.model, 10, BANDWIDTH) == pytest.approx(expected / BANDWIDTH)


def test_speeds_are_measured(loaded: LoadedModel) -> None:
    alone = device_figures("toy", loaded, batch=2, context=20, bandwidth=BANDWIDTH, repeats=2)
    whole = engine_figures("toy", loaded, batch=3, new_tokens=6, bandwidth=BANDWIDTH)

    assert all(value > 0 for value in values([*alone, *whole]))
    assert copy_bandwidth(CPU, count=1000, repeats=2) > 0
    # 32 tokens of the prompt and the third to the fifth of six: the first of these steps is left out.
    context = next(figure.value for figure in whole if "context" in figure.name)
    assert 33 < context < 38


def test_errors_are_small_where_both_compute_in_fp32() -> None:
    error, largest, agreeing = values(random_weights("toy", TINY, CPU, texts=1, tokens=20))

    assert error < 1e-5
    assert largest < 1e-4
    assert agreeing == 100


def test_texts_alone_and_in_company_are_compared(loaded: LoadedModel) -> None:
    equal, agreed = values(company_figures("toy", loaded, texts=2, tokens=4))

    assert equal == 100
    assert agreed == 4


def test_the_peer_runs_the_same_requests(loaded: LoadedModel) -> None:
    ours, theirs = peer_figures("toy", loaded, count=2, prompt=4, new_tokens=3)

    assert ours.ratio == pytest.approx(ours.value / theirs.value)


def test_every_form_of_the_attention_kernel_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.gpu.tune.FORMS", ((16, 1), (32, 2)))

    figures = attention_figures(
        CPU, heads=2, head_size=8, batch=2, context=20, bandwidth=BANDWIDTH, dtype=bench.torch.float32, repeats=1
    )

    assert len(figures) == 2
    assert all(dataclasses.asdict(figure)["value"] > 0 for figure in figures)
