from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from api import responses
from quire import jobs, testing
from quire.errors import QuotaExceeded
from quire.quotas import Quotas
from quire.spec import Spec
from quire.store import Job, LedgerEntry
from quire.testing import FakePublisher, Place, data_key
from tests.contract.client import Api, fields, shown

NOWHERE = {"position": None, "more": False, "eta": None}


def later(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


def test_a_job_is_queued_and_told_with_where_and_when_to_look(api: Api) -> None:
    answer = api.submit(prompt="Once upon a time")

    job = responses.Job.model_validate_json(answer.data)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{job.id}"
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["ETag"].startswith('W/"')
    assert job.state == "queued"
    assert job.queue.position == 1
    assert job.input.prompt == "Once upon a time"
    assert job.output is None
    assert job.created_at.tzinfo is not None
    assert shown(answer)["created_at"].endswith("Z")
    assert len(shown(answer)["created_at"]) == len("2026-11-23T20:15:04.120000Z")


def test_what_is_not_said_has_the_documented_default(api: Api) -> None:
    job = api.submitted()

    seed = job["parameters"].pop("seed")
    assert 0 <= seed < 2**53
    assert job["parameters"] == {
        "n": 1, "best_of": 1, "max_tokens": 128, "min_tokens": 0, "temperature": 1.0, "top_k": 0, "top_p": 1.0,
        "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "logit_bias": {}, "stop": [], "banned": [], "logprobs": None, "truncate": None,
    }  # fmt: skip
    assert (job["kind"], job["model"], job["priority"], job["metadata"]) == ("text", "tiny", 0, {})


def test_where_a_request_says_nothing_of_sampling_the_model_does(api: Api, place: Place) -> None:
    with place.database.service() as session:
        testing.add_model(session, sampling={"temperature": 0.8, "top_k": 40})

    silent, asked = api.submitted()["parameters"], api.submitted(temperature=1, top_k=0)["parameters"]
    response = shown(api.post("/v1/responses", json={"model": "tiny", "input": "Once", "background": True}))

    assert (silent["temperature"], silent["top_k"], silent["top_p"]) == (0.8, 40, 1.0)
    assert (asked["temperature"], asked["top_k"]) == (1.0, 0)
    assert response["temperature"] == 0.8
    assert shown(api.get("/v1/models"))["data"][0]["sampling"] == {"temperature": 0.8, "top_k": 40}
    assert isinstance(shown(api.get("/v1/models"))["data"][0]["sampling"]["top_k"], int)


def test_what_is_said_comes_back(api: Api) -> None:
    wanted = {
        "n": 2, "best_of": 3, "seed": 2**53 - 1, "max_tokens": 5, "min_tokens": 5, "temperature": 0, "top_k": 1000,
        "top_p": 0.5, "min_p": 1, "repetition_penalty": 10, "presence_penalty": -2, "frequency_penalty": 2,
        "logit_bias": {"0": -100, "256": 1.5}, "stop": ["\n\n"], "banned": ["rain"], "logprobs": 0,
    }  # fmt: skip
    job = api.submitted(**wanted, priority=-100, metadata={"shelf": "sea", "": ""})

    assert {name: job["parameters"][name] for name in wanted} == wanted
    assert (job["priority"], job["metadata"]) == (-100, {"shelf": "sea", "": ""})
    assert job["progress"] == {"tokens": 0, "max_tokens": 10}


def test_one_stop_string_needs_no_list(api: Api) -> None:
    assert api.submitted(stop="THE END")["parameters"]["stop"] == ["THE END"]


def test_nulls_stand_for_what_is_not_said(api: Api) -> None:
    nothing = dict.fromkeys(("model", "form", "title", "best_of", "seed", "truncate", "logprobs", "deadline"))
    assert api.submitted(**{**nothing, "prompt": "Once"} | {"form": None})["state"] == "queued"


def test_a_form_builds_the_prompt(api: Api) -> None:
    job = api.submitted(form="poem", title="The Harbour", theme="the sea", style="old")

    assert job["input"] == {
        "form": "poem", "title": "The Harbour", "theme": "the sea", "style": "old", "rules": None,
        "prompt": "The Harbour\n\nAn old poem about the sea.\n\n", "changes": [], "music": None,
        "longform": None, "continues": None,
    }  # fmt: skip


def test_the_prompt_is_prepared_and_every_change_told(api: Api) -> None:
    raw = '{"prompt": "e\\u0301t\\u00e9\\r\\nline\\rend\\u0000\\u0007 \\ud800 \\ud83d\\ude00\\t "}'
    job = shown(api.post("/v1/jobs", data=raw, content_type="application/json; charset=UTF-8"))

    assert job["input"]["prompt"] == "été\nline\nend \ufffd \N{GRINNING FACE}\t "
    assert {change["what"]: change["count"] for change in job["input"]["changes"]} == {
        "broken_surrogates": 1, "line_endings": 2, "control_characters": 2, "normalised": 1,
    }  # fmt: skip


def test_changes_of_title_and_theme_are_counted_together(api: Api) -> None:
    job = api.submitted(form="story", title="a\x07b", theme="c\x07d")

    assert (job["input"]["title"], job["input"]["theme"]) == ("ab", "cd")
    assert job["input"]["changes"] == [{"what": "control_characters", "count": 2}]


@pytest.mark.parametrize(("side", "kept"), [("start", "y" * 412), ("end", "x" * 412)])
def test_a_long_prompt_is_cut_where_that_is_allowed(api: Api, side: str, kept: str) -> None:
    job = api.submitted(prompt="x" * 412 + "y" * 412, max_tokens=100, truncate=side)

    assert job["input"]["prompt"] == kept
    assert job["input"]["changes"] == [{"what": "truncated_tokens", "count": 412}]
    assert job["parameters"]["truncate"] == side


def test_a_prompt_that_just_fits_is_taken(api: Api) -> None:
    assert api.submitted(prompt="x" * 412, max_tokens=100)["input"]["changes"] == []


def test_the_row_carries_what_the_scheduler_and_the_worker_need(api: Api, place: Place) -> None:
    api.submitted(prompt="été", n=2, best_of=4, max_tokens=10, seed=9)

    with place.database.service() as session:
        job = session.query(Job).one()
        entry = session.query(LedgerEntry).one()
    assert (job.prompt_tokens, job.max_tokens, job.estimate, entry.reserved) == (5, 20, 45, 25)
    spec = Spec.decode(data_key(place.tenant).open(job.body, f"job:{job.id}"))
    assert spec.input.prompt == "été"
    assert spec.parameters.draws == 4
    assert b"\xc3\xa9t\xc3\xa9" not in job.body


def test_a_slot_of_the_model_is_woken(api: Api, publisher: FakePublisher) -> None:
    api.submitted()
    assert publisher.woken == ["tiny"]


def test_a_held_job_wakes_nobody_and_says_what_holds_it(api: Api, publisher: FakePublisher) -> None:
    answer = api.submit(not_before=later(hours=1), deadline=later(hours=2))

    job = shown(answer)
    assert (job["state"], job["blocked_by"], job["queue"]) == ("queued", "not_before", NOWHERE)
    assert answer.headers["Retry-After"] == "60"
    assert publisher.woken == []


def test_a_not_before_that_has_passed_holds_nothing(api: Api) -> None:
    job = api.submitted(not_before="2020-06-01T12:00:00.5+02:00")
    assert (job["queue"]["position"], job["not_before"]) == (1, "2020-06-01T10:00:00.500000Z")


def test_jobs_queue_by_priority_and_then_by_age(api: Api) -> None:
    first, second, urgent = (api.submitted(priority=priority)["id"] for priority in (0, 0, 1))

    places = [api.job(job)["queue"]["position"] for job in (first, second, urgent)]
    assert places == [2, 3, 1]
    listed = shown(api.get("/v1/jobs"))["data"]
    assert {job["id"]: job["queue"]["position"] for job in listed} == {first: 2, second: 3, urgent: 1}


def test_one_job_too_many_is_told_when_to_come_back(app: Flask, operator: Api) -> None:
    tenant = shown(operator.post("/v1/tenants", json={"name": "small", "max_queued": 1}))
    key = shown(operator.post(f"/v1/tenants/{tenant['id']}/keys", json={}))
    api = Api(app, key["secret"])
    api.submitted()

    answer = api.submit()
    assert (answer.status_code, shown(answer)["code"]) == (429, "quota_exceeded")
    assert int(answer.headers["Retry-After"]) > 0


def test_the_limit_of_waiting_jobs_holds_for_submissions_at_once(place: Place) -> None:
    def submit(_: int) -> bool:
        with place.database.tenant(place.tenant.id) as session:
            try:
                jobs.submit(session, testing.submission(place.tenant), once=None, quotas=Quotas(3, None))
            except QuotaExceeded:
                return False
        return True

    with ThreadPoolExecutor(10) as pool:
        accepted = list(pool.map(submit, range(10)))

    assert sum(accepted) == 3


def test_what_looks_like_a_special_token_is_counted_as_text(api: Api, place: Place) -> None:
    api.submit(prompt="<|endoftext|>")

    with place.database.service() as session:
        assert session.scalars(select(Job.prompt_tokens)).one() == len("<|endoftext|>")


def test_stop_and_banned_strings_are_prepared_as_the_prompt_is(api: Api) -> None:
    made = shown(api.post("/v1/jobs", json={"prompt": "x", "stop": "e\u0301", "banned": ["a\r\n"]}))

    assert (made["parameters"]["stop"], made["parameters"]["banned"]) == (["\u00e9"], ["a\n"])
    assert {"what": "normalised", "count": 1} in made["input"]["changes"]


def test_a_stop_string_of_control_characters_is_refused(api: Api) -> None:
    answer = api.post("/v1/jobs", json={"prompt": "x", "stop": ["a", "\u0007"]})

    assert (answer.status_code, fields(answer)) == (400, {"stop.1"})


def test_a_model_that_nobody_has_loaded_is_not_ready(api: Api) -> None:
    answer = api.submit(model="unloaded")
    assert (answer.status_code, shown(answer)["code"]) == (503, "model_not_ready")
    assert int(answer.headers["Retry-After"]) > 0
