"""/v1/schedules: made, edited, paused, run, previewed, looked back at; and the client of this repository."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask
from sqlalchemy import text

from api.schedules import keeping
from quire import ids
from quire.schedules import firing
from quire.store import Schedule, job_counts
from quire.testing import Place
from quire_client import Quire
from quire_client.cli.main import Outside, main
from tests.contract.client import Api, fields, problem, shown

POEM = {"form": "poem", "title": "{{weekday}}, {{date}}", "max_tokens": 8}
DAILY = {"name": "morning", "cron": "30 7 * * *", "zone": "Europe/Paris", "template": POEM}


def make(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/schedules", json=DAILY | body)
    assert answer.status_code == 201, answer.text
    return shown(answer)


def test_a_schedule_tells_its_next_moment(api: Api) -> None:
    schedule = make(api, metadata={"a": "b"})

    upcoming = shown(api.get(f"/v1/schedules/{schedule['id']}/preview?count=3"))["data"]

    assert [each["local"][11:16] for each in upcoming] == ["07:30"] * 3
    assert upcoming[0]["moment"] == schedule["next_at"] == schedule["fire_at"]
    assert (schedule["version"], schedule["overlap"], schedule["catch_up"]) == (1, "queue", "once")
    assert shown(api.get(f"/v1/schedules/{schedule['id']}")) == schedule
    assert shown(api.get("/v1/schedules"))["data"] == [schedule]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cron": None}, "cron"),
        ({"at": "2900-01-01T00:00:00Z"}, "cron"),
        ({"cron": "every day"}, "cron"),
        ({"cron": None, "rule": "FREQ=SECONDLY"}, "rule"),
        ({"cron": None, "at": "2020-01-01T00:00:00Z"}, "at"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": None, "rule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "rule"),
        ({"cron": None, "rule": "FREQ=MONTHLY;BYDAY=99MO"}, "rule"),
        ({"zone": "Europe/Atlantis"}, "zone"),
        ({"template": {"form": "poem"}}, "template.theme"),
        ({"template": POEM | {"max_tokens": 0}}, "template.max_tokens"),
        ({"template": POEM | {"title": "{{shelf}}"}}, "template.title"),
        ({"template": POEM | {"title": "{{shelf}}"}, "rows": [{"shelf": "a"}, {}]}, "rows.1.title"),
        ({"template": POEM | {"priority": 3}}, "template.priority"),
        ({"rows_per_run": 2}, "rows_per_run"),
        ({"publish_by": True, "jitter_seconds": 5}, "jitter_seconds"),
        ({"ends_at": "2900-01-01T00:00:00Z", "starts_at": "2900-01-02T00:00:00Z"}, "ends_at"),
    ],
)
def test_what_is_wrong_is_named(shared: Any, change: dict[str, Any], field: str) -> None:
    answer = shared.api.post("/v1/schedules", json=DAILY | change)

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {field}


def test_an_edit_keeps_what_was(api: Api) -> None:
    schedule = make(api)

    edited = shown(api.request("PUT", f"/v1/schedules/{schedule['id']}", json=DAILY | {"cron": "0 9 * * *"}))

    assert (edited["version"], edited["cron"]) == (2, "0 9 * * *")
    history = shown(api.get(f"/v1/schedules/{schedule['id']}/history"))["data"]
    assert [(each["version"], each["asked"]["cron"]) for each in history] == [(2, "0 9 * * *"), (1, "30 7 * * *")]


def test_a_pause_and_its_end(api: Api) -> None:
    path = f"/v1/schedules/{make(api)['id']}"

    assert shown(api.post(f"{path}/pause"))["paused"]
    assert not shown(api.post(f"{path}/resume"))["paused"]


def test_run_now_is_listed_among_the_occurrences(api: Api) -> None:
    path = f"/v1/schedules/{make(api)['id']}"

    ran = shown(api.post(f"{path}/run"))

    assert (ran["manual"], ran["state"], ran["number"]) == (True, "due", 1)
    assert shown(api.get(f"{path}/occurrences"))["data"] == [ran]
    assert shown(api.get(f"{path}/occurrences?state=started"))["data"] == []


def test_a_preview_needs_no_schedule(api: Api) -> None:
    body = {"rule": "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0", "zone": "Asia/Shanghai", "count": 4}

    moments = [each["local"] for each in shown(api.post("/v1/schedules/preview", json=body))["data"]]

    assert len(moments) == 4
    assert {datetime.fromisoformat(each).weekday() for each in moments} == {0}
    assert all(each.endswith("T09:00:00+08:00") for each in moments)
    problem(api.post("/v1/schedules/preview", json={"cron": "x"}), 400, "invalid_field")


def test_what_cannot_be_complete_in_time_is_told_at_once(api: Api) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=2)).isoformat(timespec="seconds").replace("+00:00", "Z")
    late = make(api, cron=None, at=soon, publish_by=True)
    early = make(api, publish_by=True, cron="0 0 1 1 *")

    assert (late["feasible"], early["feasible"]) == (False, True)
    assert early["fire_at"] < early["next_at"]


def test_a_schedule_of_another_tenant_is_not_there(api: Api, stranger: Api) -> None:
    theirs = f"/v1/schedules/{make(stranger)['id']}"

    for method, rest in (
        ("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run"),
        ("GET", "/preview"), ("GET", "/history"), ("GET", "/occurrences"),
    ):  # fmt: skip
        problem(api.request(method, theirs + rest, json=DAILY if method == "PUT" else None), 404)
    assert shown(api.get("/v1/schedules"))["data"] == []


def test_checking_many_rows_holds_up_no_submission(
    app: Flask, api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = []

    def looked(*arguments: Any, **rest: Any) -> Any:
        with place.database.service() as session:
            session.execute(text("SET LOCAL lock_timeout = '200ms'"))
            job_counts.serialise_submissions(session, place.tenant.id)  # as a submission near its limit does
            free.append(True)
        return real(*arguments, **rest)

    real = keeping.drafted
    monkeypatch.setattr(keeping, "drafted", looked)

    make(api, rows=[{"title": "a"}, {"title": "b"}], template=POEM | {"title": "{{title}}"})

    assert free == [True, True]


def test_the_client_and_the_command_line_speak_of_schedules(
    app: Flask,
    api: Api,
    place: Place,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = httpx.WSGITransport(app=app)
    with Quire("http://quire.test", api_key=api.secret, transport=transport) as quire:
        schedule = quire.schedules.create("morning", POEM, cron="30 7 * * *", zone="Europe/Paris")
        assert quire.schedules.upcoming(schedule.id, 2)[0] == schedule.next_at
        assert quire.schedules.preview(1, cron="0 0 * * *")[0].hour == 0
        assert quire.schedules.edit(schedule.id, "noon", POEM, cron="0 12 * * *").version == 2
        assert [each.version for each in quire.schedules.history(schedule.id)] == [2, 1]
        assert quire.schedules.pause(schedule.id).paused
        quire.schedules.run(schedule.id)
        assert [each.number for each in quire.schedules.occurrences(schedule.id)] == [1]
    with place.database.service() as session:
        row = session.get_one(Schedule, ids.parse(ids.SCHEDULE, schedule.id))
        assert firing.timing_of(row).expression == "0 12 * * *"
    monkeypatch.setenv("QUIRE_API_KEY", api.secret)

    def run(*words: str) -> str:
        assert main([*words, "--url", "http://quire.test"], Outside(httpx.WSGITransport(app=app))) == 0
        return capsys.readouterr().out

    assert "noon" in run("schedule", "list")
    assert "active" in run("schedule", "resume", schedule.id)
    poem = json.dumps(POEM)
    made = run(
        "schedule", "create", "evening", "--cron", "0 18 * * *", "--template", poem, "--overlap", "skip"
    ).strip()
    assert "skip" in run("schedule", "show", made)
    rows = tmp_path / "rows.json"
    rows.write_text('[{"shelf": "a"}, {"shelf": "b"}]')
    in_turn = run(
        "schedule", "create", "rows", "--cron", "0 18 * * *", "--template", poem, "--rows", f"@{rows}", "--json"
    )
    assert json.loads(in_turn)["rows"] == [{"shelf": "a"}, {"shelf": "b"}]
    assert run("schedule", "edit", made, "night", "--cron", "0 22 * * *", "--template", poem).strip() == made
    assert len(run("schedule", "preview", made, "--count", "3").splitlines()) == 3
    assert len(run("schedule", "preview", "--rule", "FREQ=DAILY;BYHOUR=1").splitlines()) == 10
    run("schedule", "run", made)
    assert "due" in run("schedule", "occurrences", made)
    assert len(run("schedule", "history", made).splitlines()) == 2
    assert "paused" in run("schedule", "pause", made)
    run("schedule", "delete", made)
