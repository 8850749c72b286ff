"""Music jobs: what may be asked for, what is decided for those who do not say, and what is refused by name."""

import base64
from typing import Any

import pytest
from symusic import Score

from quire.testing import Place
from tests.contract.client import Api, fields, problem, shown
from tests.contract.tunes import MODEL, add_tunes, tune


def test_what_is_left_open_is_decided_by_the_style(api: Api, place: Place) -> None:
    add_tunes(place)

    job = tune(api, style="Slip Jig")

    assert (job["kind"], job["model"]) == ("music", MODEL)
    assert job["input"]["music"] == {
        "style": "slip jig", "meter": "9/8", "key": "G major", "tempo": 112, "bars": 16, "accidentals": False,
        "opening": None, "instrument": "fiddle", "artifacts": ["abc", "midi", "wav", "svg"],
    }  # fmt: skip
    assert job["input"]["prompt"] == "<slip jig><9/8><G major>\n"
    assert 200 < job["parameters"]["max_tokens"] < 512
    assert job["artifacts"] == []


def test_all_that_is_asked_for_is_told(api: Api, place: Place) -> None:
    add_tunes(place)

    job = tune(
        api, style="waltz", title="The Harbour", key="em", meter="3/8", tempo=99, bars=8, opening='"Em"E2F|',
        instrument="Tin Whistle", artifacts=["wav"], n=2, seed=5, temperature=0.5,
    )  # fmt: skip

    music = job["input"]["music"]
    assert job["input"]["prompt"] == "<waltz><3/8><E minor>The Harbour\nE2F|"
    assert (music["key"], music["tempo"], music["bars"], music["opening"]) == ("E minor", 99, 8, "E2F|")
    assert (music["instrument"], music["artifacts"]) == ("tin whistle", ["abc", "wav"])
    assert (job["parameters"]["n"], job["parameters"]["seed"]) == (2, 5)
    assert job["progress"]["max_tokens"] == 2 * job["parameters"]["max_tokens"]


def test_a_theme_takes_the_place_of_a_title(api: Api, place: Place) -> None:
    add_tunes(place)

    assert tune(api, theme="rain")["input"]["prompt"].endswith(">rain\n")


def test_a_melody_may_come_as_midi(api: Api, place: Place) -> None:
    add_tunes(place)
    midi = Score.from_abc("X:1\nT:x\nM:6/8\nL:1/8\nK:G\nGAB c3|\n").dumps_midi()

    job = tune(api, opening_midi=base64.b64encode(midi).decode())

    assert job["input"]["music"]["opening"] == "G A B c3 |"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"style": None}, "style"),
        ({"style": "polonaise"}, "style"),
        ({"meter": "4/4"}, "meter"),
        ({"meter": "7/8"}, "meter"),
        ({"key": "H minor"}, "key"),
        ({"bars": 3}, "bars"),
        ({"bars": 128, "meter": "6/8"}, "bars"),
        ({"tempo": 10}, "tempo"),
        ({"instrument": "kazoo"}, "instrument"),
        ({"opening": "GAB cd|"}, "opening"),
        ({"opening": "^G3 A3|"}, "opening"),
        ({"opening": "\ud800"}, "opening"),
        ({"opening_midi": "no base64!"}, "opening_midi"),
        ({"opening_midi": base64.b64encode(b"RIFF").decode()}, "opening_midi"),
        ({"opening": "G", "opening_midi": "AAAA"}, "opening_midi"),
        ({"title": "A", "theme": "b"}, "theme"),
        ({"artifacts": ["pdf"]}, "artifacts.0"),
        ({"artifacts": ["midi", "svg"]}, "artifacts.1"),
        ({"prompt": "Once"}, "prompt"),
        ({"form": "poem"}, "form"),
        ({"max_tokens": 12}, "max_tokens"),
        ({"min_tokens": 3}, "min_tokens"),
        ({"stop": "|"}, "stop"),
        ({"banned": ["z"]}, "banned"),
        ({"truncate": "end"}, "truncate"),
        ({"model": "tiny"}, "model"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_name_of_its_field(
    api: Api, place: Place, body: dict[str, Any], field: str
) -> None:
    add_tunes(place)

    answer = api.post("/v1/jobs", json={"kind": "music", "style": "jig"} | body)

    problem(answer, 400)
    assert fields(answer) == {field}


@pytest.mark.parametrize("field", ["meter", "key", "tempo", "bars", "opening", "instrument", "artifacts"])
def test_a_text_takes_nothing_of_music(api: Api, field: str) -> None:
    value: Any = {"tempo": 90, "bars": 8, "artifacts": ["abc"]}.get(field, "G")

    answer = api.submit(**{field: value})

    problem(answer, 400)
    assert fields(answer) == {field}


def test_a_text_is_not_given_to_a_model_for_music(api: Api, place: Place) -> None:
    add_tunes(place)

    problem(api.submit(model=MODEL), 400, "unknown_model")


def test_without_a_model_for_music_there_is_none_yet(api: Api) -> None:
    problem(api.post("/v1/jobs", json={"kind": "music", "style": "jig"}), 503, "model_not_ready")


def test_many_tunes_and_texts_go_in_one_body(api: Api, place: Place) -> None:
    add_tunes(place)

    answer = api.post("/v1/jobs/bulk", json={"jobs": [{"prompt": "Once"}, {"kind": "music", "style": "reel"}]})

    assert answer.status_code == 202
    assert [api.job(job)["kind"] for job in shown(answer)["jobs"]] == ["text", "music"]
    wrong = api.post("/v1/jobs/bulk", json={"jobs": [{"kind": "music", "style": "reel", "meter": "3/4"}]})
    assert fields(wrong) == {"jobs.0.meter"}


def test_models_say_what_they_are_for(api: Api, place: Place) -> None:
    add_tunes(place)

    models = {model["id"]: model for model in shown(api.get("/v1/models"))["data"]}

    assert (models["tiny"]["kind"], models["tiny"]["renders"]) == ("text", [])
    assert (models[MODEL]["kind"], models[MODEL]["renders"]) == ("music", ["abc", "midi", "wav"])
