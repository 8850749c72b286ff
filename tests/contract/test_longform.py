"""Books over HTTP: their plans, previews, progress, and what is refused."""

from typing import Any

import pytest

from quire import jobs, testing
from quire.testing import Place
from tests.contract.client import Api, fields, problem, shown
from tests.contract.working import FakeWorker, words

BOOK: dict[str, Any] = {"title": "The Sea", "premise": "A voyage to the north.", "parts": 2, "tokens": 256}


def body(**changes: Any) -> dict[str, Any]:
    return {"kind": "longform", "seed": 7, "longform": BOOK | changes}


def test_a_book_is_planned_and_its_progress_shown(api: Api, worker: FakeWorker) -> None:
    parts = [{"tokens": 128, "heading": "Departure"}, {"words": 50, "temperature": 0.5, "prompt": "Ice and wind."}]
    job = api.submitted(**body(parts=parts, form="serial"))

    plan = job["input"]["longform"]
    assert [part["heading"] for part in plan["parts"]] == ["Departure", "Episode 2"]
    assert (plan["window"], plan["ending"]) == (128, 64)
    assert plan["parts"][1]["tokens"] == 220  # 22 bytes for five words
    assert job["parts"][0] == {"heading": "Departure", "state": "waiting", "tokens": 0, "of": 128}
    assert job["progress"]["max_tokens"] == 128 + 220 + 2 * 64

    worker.claim()
    worker.write(job["id"], words("We sailed.", finish="stop"), words("Ice", piece=1))
    job = api.job(job["id"])
    assert [(part["state"], part["tokens"]) for part in job["parts"]] == [("written", 10), ("writing", 3)]


def test_cancelling_a_book_keeps_what_is_written(api: Api, worker: FakeWorker) -> None:
    job = api.submitted(**body())
    worker.claim()
    worker.write(job["id"], words("We sailed"))

    cancelled = shown(api.post(f"/v1/jobs/{job['id']}/cancel"))

    assert cancelled["output"]["pieces"][0]["text"] == "We sailed"
    assert cancelled["usage"]["completion_tokens"] == 9


def test_a_preview_tells_the_plan_and_queues_nothing(api: Api) -> None:
    answer = api.post("/v1/jobs/plan", json=body(style="quiet"))

    plan = shown(answer)
    assert answer.status_code == 200
    assert plan["prompt"] == "The Sea\n\nA voyage to the north. Quiet.\n\nChapter 1\n\n"
    assert (plan["windows"], plan["max_tokens"]) == (4, 640)
    assert plan["reserved_tokens"] == 640 + len(plan["prompt"])
    assert plan["longform"] == api.submitted(**body(style="quiet"))["input"]["longform"]
    assert len(shown(api.get("/v1/jobs"))["data"]) == 1
    assert fields(api.post("/v1/jobs/plan", json={"prompt": "Once"})) == {"kind"}


@pytest.mark.parametrize(
    ("changes", "tags", "header", "heading"),
    [
        ({}, ["<en>", "<story>"], "<en><story>The Sea|voyage and north\n", "Chapter 1\n"),
        ({"style": "quiet"}, ["<en>", "<story>"], "<en><story>The Sea|quiet voyage and north\n", "Chapter 1\n"),
        ({"form": "epic"}, ["<en>", "<verse>"], "<en><verse>The Sea|voyage and north\n", "Canto 1\n\n"),
        ({"language": "zh", "premise": "北航。"}, ["<zh>", "<文>"], "<zh><文>The Sea|\n北航。\n", "第1章\n"),
        ({"form": "epic"}, ["<en>", "<story>"], "", "The Sea\n\nA voyage to the north.\n\nCanto 1\n\n"),
    ],
)
def test_a_model_that_knows_tags_is_told_a_header(
    api: Api, place: Place, changes: dict[str, str], tags: list[str], header: str, heading: str
) -> None:
    with place.database.service() as session:
        testing.add_model(session, "taught", tags=tags)

    plan = shown(api.post("/v1/jobs/plan", json=body(**changes) | {"model": "taught"}))

    assert (plan["longform"]["header"], plan["prompt"]) == (header, header + heading)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/plan"])
def test_what_is_wrong_with_a_book_is_named(api: Api, path: str) -> None:
    long = "word " * 390
    for changes, field in (
        ({"parts": []}, "longform.parts"),
        ({"parts": 0}, "longform.parts"),
        ({"parts": 201}, "longform.parts"),
        ({"parts": [{"tokens": 100}]}, "longform.parts.0.tokens"),
        ({"parts": [{"tokens": 200}, {"words": 1}]}, "longform.parts.1.words"),
        ({"parts": [{"heading": "a\x07b"}]}, "longform.parts.0.heading"),
        ({"parts": [{"heading": "a\nb"}]}, "longform.parts.0.heading"),
        ({"parts": [{"tokens": 200, "words": 200}]}, "longform.parts.0.words"),
        ({"parts": [{"temperature": 3}]}, "longform.parts.0.temperature"),
        ({"parts": [{"prompt": long}]}, "longform.parts.0.prompt"),
        ({"parts": 200, "tokens": 99_999}, "longform.parts"),
        ({"tokens": 127}, "longform.tokens"),
        ({"tokens": 256, "words": 256}, "longform.words"),
        ({"window": 257}, "longform.window"),
        ({"window": 8}, "longform.window"),
        ({"premise": long}, "longform.premise"),
        ({"premise": "  "}, "longform.premise"),
        ({"premise": "x" * 2001}, "longform.premise"),
        ({"title": ""}, "longform.title"),
        ({"title": "a\tb"}, "longform.title"),
        ({"form": "sonnet"}, "longform.form"),
        ({"guard": {"draws": 9}}, "longform.guard.draws"),
        ({"guard": {"no_repeat": 1}}, "longform.guard"),
        ({"colour": "red"}, "longform.colour"),
    ):
        answer = api.post(path, json=body(**changes))
        problem(answer, 400, "invalid_field")
        assert any(name.startswith(field) for name in fields(answer)), (changes, fields(answer))


def test_what_does_not_go_with_a_book_is_refused(api: Api) -> None:
    for field, value in (
        ("prompt", "Once"), ("form", "poem"), ("max_tokens", 9), ("n", 2), ("best_of", 2), ("stop", "x"),
        ("logprobs", 1), ("title", "x"), ("bars", 8), ("truncate", "end"),
    ):  # fmt: skip
        assert fields(api.post("/v1/jobs", json=body() | {field: value})) == {field}
    assert fields(api.post("/v1/jobs", json={"kind": "longform"})) == {"longform"}
    assert fields(api.post("/v1/jobs", json={"prompt": "Once", "longform": BOOK})) == {"longform"}
    assert fields(api.post("/v1/jobs", json=body() | {"model": "unloaded"})) == set()


def test_a_book_may_be_longer_than_a_day_but_its_first_window_must_fit(
    api: Api, operator: Api, place: Any
) -> None:
    from quire import ids

    tenant = ids.show(ids.TENANT, place.tenant.id)
    operator.request("PATCH", f"/v1/tenants/{tenant}", json={"max_tokens_per_day": 350})

    assert api.submitted(**body())["progress"]["max_tokens"] == 640
    problem(api.post("/v1/jobs", json=body()), 429, "daily_tokens_exceeded")


def test_a_book_whose_window_is_more_than_a_day_can_never_run_and_is_refused(
    api: Api, operator: Api, place: Any
) -> None:
    from quire import ids

    tenant = ids.show(ids.TENANT, place.tenant.id)
    operator.request("PATCH", f"/v1/tenants/{tenant}", json={"max_tokens_per_day": 250})

    answer = api.post("/v1/jobs", json=body())
    problem(answer, 400, "invalid_field")
    assert fields(answer) == {"longform.window"}
    assert fields(api.post("/v1/jobs/bulk", json={"jobs": [body()]})) == {"jobs.0.longform.window"}
    assert fields(api.post("/v1/batches", json={"items": [body()]})) == {"items.0.longform.window"}
    assert api.submitted(**body(window=32))["state"] == "queued"


def test_candidates_of_a_window_are_not_reserved(api: Api, operator: Api, place: Any) -> None:
    from quire import ids

    tenant = ids.show(ids.TENANT, place.tenant.id)
    operator.request("PATCH", f"/v1/tenants/{tenant}", json={"max_tokens_per_day": 350})

    assert api.submitted(**body(guard={"draws": 8}))["state"] == "queued"


def test_a_book_is_paused_and_resumed(api: Api, worker: FakeWorker, place: Any) -> None:
    job = api.submitted(**body())["id"]
    worker.claim()
    worker.write(job, words("We sailed"))

    paused = shown(api.post(f"/v1/jobs/{job}/pause"))
    assert (paused["state"], paused["blocked_by"]) == ("queued", "paused")
    assert paused["output"]["pieces"][0]["text"] == "We sailed"

    resumed = shown(api.post(f"/v1/jobs/{job}/resume"))
    assert (resumed["state"], resumed["blocked_by"]) == ("queued", "quota")
    with place.database.service() as session:
        assert jobs.release_within_budget(session) == 1
    assert api.job(job)["queue"]["position"] == 1

    api.post(f"/v1/jobs/{job}/cancel")
    problem(api.post(f"/v1/jobs/{job}/pause"), 409, "conflict")


def test_a_finished_book_comes_as_a_file(api: Api, worker: FakeWorker) -> None:
    job = api.submitted(**body())["id"]
    problem(api.get(f"/v1/jobs/{job}/book"), 409, "conflict")
    worker.claim()
    worker.finish(job, words("We sailed.", finish="stop"), words("Ice.", piece=1, finish="stop"))

    for form, media in (("markdown", "text/markdown"), ("text", "text/plain"), ("html", "text/html")):
        answer = api.get(f"/v1/jobs/{job}/book?format={form}")
        assert (answer.status_code, answer.mimetype) == (200, media)
        assert answer.text.index("Chapter 2") < answer.text.index("We sailed.") < answer.text.index("Ice.")
    epub = api.get(f"/v1/jobs/{job}/book?format=epub")
    assert (epub.mimetype, epub.data[:2]) == ("application/epub+zip", b"PK")
    assert epub.headers["Content-Disposition"] == f'attachment; filename="{job}.epub"'
    assert fields(api.get(f"/v1/jobs/{job}/book?format=pdf")) == {"format"}


def test_what_is_no_book_is_not_bound(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.finish(job, words("Once."))

    problem(api.get(f"/v1/jobs/{job}/book"), 409, "conflict")


def test_a_finished_book_is_continued_by_a_job_of_its_own(api: Api, worker: FakeWorker, place: Any) -> None:
    from quire import ids
    from quire.spec import Spec
    from quire.store import Job
    from quire.testing import data_key

    book = api.submitted(**body(form="cycle"), temperature=0.5)["id"]
    problem(api.post(f"/v1/jobs/{book}/continue", json={"parts": 1}), 409, "conflict")
    worker.claim()
    worker.finish(book, words("We sailed.", finish="stop"), words("Ice.", piece=1, finish="stop"))

    answer = api.post(
        f"/v1/jobs/{book}/continue", json={"parts": 2, "tokens": 128}, headers={"Idempotency-Key": "k"}
    )
    child = shown(answer)

    assert answer.status_code == 202
    assert [part["heading"] for part in child["parts"]] == ["Tale 3", "Tale 4"]
    assert (child["input"]["continues"], child["parameters"]["temperature"]) == (book, 0.5)
    assert child["input"]["longform"]["title"] == BOOK["title"]
    again = api.post(
        f"/v1/jobs/{book}/continue", json={"parts": 2, "tokens": 128}, headers={"Idempotency-Key": "k"}
    )
    assert shown(again)["id"] == child["id"]
    job_id = ids.parse(ids.JOB, child["id"])
    with place.database.service() as session:
        sealed = session.get_one(Job, job_id).body
    spec = Spec.decode(data_key(place.tenant).open(sealed, f"job:{job_id}"))
    assert bytes(spec.before) == b"We sailed.Ice."


def test_a_book_is_continued_under_the_header_that_it_began_with(
    api: Api, worker: FakeWorker, place: Place
) -> None:
    book = api.submitted(**body())["id"]
    worker.claim()
    worker.finish(book, words("We sailed.", finish="stop"), words("Ice.", piece=1, finish="stop"))
    with place.database.service() as session:
        testing.add_model(session, tags=["<en>", "<story>"])

    child = shown(api.post(f"/v1/jobs/{book}/continue", json={"parts": 1, "tokens": 256}))

    assert child["input"]["longform"]["header"] == ""
    assert fields(api.post(f"/v1/jobs/{book}/continue", json={"parts": 0})) == {"parts"}
    for more, field in (
        ({"parts": 200, "tokens": 99_999}, "parts"),
        ({"parts": 1, "tokens": 100_001}, "tokens"),
        ({"parts": 1, "tokens": 3}, "tokens"),
        ({"parts": [{"words": 1}]}, "parts.0.words"),
    ):
        answer = api.post(f"/v1/jobs/{book}/continue", json=more)
        problem(answer, 400, "invalid_field")
        assert fields(answer) == {field}
