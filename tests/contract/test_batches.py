"""/v1/batches: from items of any form to results, and what becomes of a batch on the way."""

import csv
import io
import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from api.batches.answers import Batch, BatchResult
from quire import ids
from quire.store import Batch as Row
from quire.store import BatchItem, Job
from quire.store.job import State
from quire.testing import Place
from scheduler.batching import Batching
from tests.contract.client import Api, add_key, fields, problem, shown
from tests.contract.working import FakeWorker, words

POEM = {"form": "poem", "title": "{{title}}", "max_tokens": 8, "custom_id": "{{sku}}"}


def submit(api: Api, key: str | None = None, **body: Any) -> TestResponse:
    return api.post("/v1/batches", json=body, headers={"Idempotency-Key": key} if key else {})


def upload(api: Api, data: str, name: str = "rows.jsonl", key: str | None = None, **options: Any) -> TestResponse:
    form = {"batch": json.dumps(options), "file": (io.BytesIO(data.encode()), name)}
    return api.post("/v1/batches", data=form, headers={"Idempotency-Key": key} if key else {})


def prompts(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"Item {n}", "custom_id": f"c{n}", "max_tokens": 8} for n in range(count)]


def made(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    return shown(answer)


def turn(place: Place, window: int = 256) -> int:
    """A round of a scheduler."""
    return Batching(place.database, window=window).run()


def look(api: Api, batch: dict[str, Any]) -> dict[str, Any]:
    return Batch.model_validate(shown(api.get(f"/v1/batches/{batch['id']}"))).model_dump(mode="json")


def jobs_of(place: Place, batch: dict[str, Any]) -> list[str]:
    """Its jobs, in the order of its items."""
    with place.database.service() as session:
        found = select(Job.id).where(Job.batch_id == ids.parse(ids.BATCH, batch["id"])).order_by(Job.id)
        return [ids.show(ids.JOB, job) for job in session.scalars(found)]


def results(api: Api, batch: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"/v1/batches/{batch['id']}/results{query}")
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    return [BatchResult.model_validate(line).model_dump(mode="json") for line in lines]


def finished(place: Place, worker: FakeWorker, batch: dict[str, Any], *texts: str) -> None:
    """Feed a batch, and have its items end in their order."""
    turn(place)
    worker.claim(k=len(texts))
    for job, text in zip(jobs_of(place, batch), texts, strict=True):
        worker.finish(job, words(text, finish="stop"))
    turn(place)


# ---- what may be sent ---------------------------------------------------------------------------------------


def test_items_wait_outside_the_queue_until_they_are_fed(api: Api, place: Place) -> None:
    batch = made(submit(api, items=prompts(30), metadata={"a": "b"}))
    assert (batch["counts"]["held"], batch["counts"]["total"], jobs_of(place, batch)) == (30, 30, [])

    turn(place, window=12)

    counts = look(api, batch)["counts"]
    assert (counts["held"], counts["queued"]) == (18, 12)
    first = api.job(jobs_of(place, batch)[0])
    assert (first["input"]["prompt"], first["batch_id"], first["priority"]) == ("Item 0", batch["id"], -10)


def test_rows_fill_a_template_in_the_body(api: Api, place: Place) -> None:
    batch = made(submit(api, template=POEM | {"seed": "{{seed}}"}, rows=[{"title": "Sea", "sku": "s", "seed": 3}]))

    turn(place)

    job = api.job(jobs_of(place, batch)[0])
    assert (job["input"]["title"], job["parameters"]["seed"]) == ("Sea", 3)


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("items.jsonl", '{"prompt": "Sea"}\n\n{"prompt": "Hill", "custom_id": "h"}\n', {}),
        ("rows.jsonl", '{"title": "Sea"}\n{"title": "Hill"}', {"template": {"prompt": "{{title}}"}}),
        (
            "rows.csv",
            'title,n\r\nSea,1\r\n"Hill",2\r\n',
            {"template": {"prompt": "{{title}}", "seed": "{{n|number}}"}},
        ),
    ],
)
def test_files_of_lines_and_of_rows_are_taken(
    api: Api, place: Place, name: str, data: str, options: dict[str, Any]
) -> None:
    batch = made(upload(api, data, name, **options))

    turn(place)

    assert [api.job(job)["input"]["prompt"] for job in jobs_of(place, batch)] == ["Sea", "Hill"]


@pytest.mark.parametrize(
    ("name", "data", "options", "line", "field"),
    [
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": "x", "max_tokens": 0}', {}, 2, "max_tokens"),
        ("a.jsonl", '\n{"prompt": "x", "colour": 1}', {}, 2, "colour"),
        ("a.jsonl", '{"prompt": ', {}, 1, ""),
        ("a.jsonl", "[]", {}, 1, ""),
        ("a.jsonl", '{"prompt": "x", "custom_id": "a"}\n{"prompt": "x", "custom_id": "a"}', {}, 2, "custom_id"),
        ("a.jsonl", '{"prompt": "x", "priority": 3}', {}, 1, "priority"),
        ("a.jsonl", '{"prompt": "x", "model": "nobody"}', {}, 1, "model"),
        ("a.jsonl", '{"sku": "x"}', {"template": POEM}, 1, "title"),
        ("a.csv", "title,sku\nSea,1\nHill\n", {"template": POEM}, 3, ""),
        ("a.csv", "title,title\nSea,1\n", {"template": POEM}, 1, ""),
        ("a.csv", "title,sku\n  ,1\n", {"template": POEM}, 2, "title"),
        ("a.csv", "n\nten\n", {"template": {"prompt": "x", "seed": "{{n|number}}"}}, 2, "seed"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_nothing_is_kept(
    shared: Any, name: str, data: str, options: dict[str, Any], line: int, field: str
) -> None:
    told = problem(upload(shared.api, data, name, **options), 400, "invalid_field")

    assert [(each["line"], each["field"]) for each in told["fields"]] == [(line, field)]
    assert told["detail"].startswith(f"line {line}: ")
    with shared.place.database.service() as session:
        assert session.scalar(select(func.count()).select_from(Row)) == 0
        assert session.scalar(select(func.count()).select_from(BatchItem)) == 0


def test_several_problems_are_named_at_once(shared: Any) -> None:
    lines = ['{"prompt": "x"}' if n % 2 else '{"prompt": ""}' for n in range(60)]

    told = problem(upload(shared.api, "\n".join(lines)), 400)

    assert [each["line"] for each in told["fields"]] == list(range(1, 40, 2))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [{"prompt": "x"}], "rows": [{}]}, "items"),
        ({"rows": [{}]}, "template"),
        ({"items": [{"prompt": "x"}, {"prompt": "x", "n": 0}]}, "items.1.n"),
        ({"rows": [{}], "template": {"prompt": "{{x}}"}}, "rows.0.prompt"),
        ({"items": [{"prompt": "x"}], "max_tokens": 0}, "max_tokens"),
        ({"items": [{"prompt": "x"}], "deadline": "2020-01-01T00:00:00Z"}, "deadline"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(shared: Any, body: dict[str, Any], field: str) -> None:
    answer = submit(shared.api, **body)

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {field}


def test_a_form_without_its_file_is_refused(shared: Any) -> None:
    answer = shared.api.post("/v1/batches", data={"batch": "{}"}, content_type="multipart/form-data")

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {"file"}


def test_a_file_with_nothing_in_it_is_refused(shared: Any) -> None:
    problem(upload(shared.api, "\n \n"), 400, "invalid_field")


@pytest.mark.parametrize(
    "send",
    [lambda api, **k: submit(api, items=prompts(2), **k), lambda api, **k: upload(api, '{"prompt": "x"}', **k)],
)
def test_the_same_key_makes_no_second_batch(api: Api, send: Any) -> None:
    first = made(send(api, key="k"))

    again = send(api, key="k")

    assert (made(again)["id"], again.headers["Idempotent-Replayed"]) == (first["id"], "true")
    problem(submit(api, key="k", items=prompts(1)), 422, "idempotency_key_reused")
    assert len(shown(api.get("/v1/batches"))["data"]) == 1


def test_a_batch_of_another_tenant_is_not_there(api: Api, stranger: Api) -> None:
    batch = made(submit(stranger, items=prompts(1)))

    for path in ("", "/results"):
        problem(api.get(f"/v1/batches/{batch['id']}{path}"), 404)
    for path in ("cancel", "retry"):
        problem(api.post(f"/v1/batches/{batch['id']}/{path}"), 404)
    problem(api.delete(f"/v1/batches/{batch['id']}"), 404)
    assert shown(api.get("/v1/batches"))["data"] == []


def test_reading_needs_one_scope_and_writing_the_other(app: Flask, api: Api, place: Place) -> None:
    batch = made(submit(api, items=prompts(1)))
    reader = Api(app, add_key(place.database, place.tenant, "jobs:read"))

    assert reader.get(f"/v1/batches/{batch['id']}").status_code == 200
    problem(submit(reader, items=prompts(1)), 403)
    problem(reader.post(f"/v1/batches/{batch['id']}/cancel"), 403)


# ---- what is read -------------------------------------------------------------------------------------------


def test_counts_are_true_before_anything_is_collected(api: Api, place: Place, worker: FakeWorker) -> None:
    batch = made(submit(api, items=prompts(4)))
    turn(place)
    worker.claim(k=2)
    worker.finish(jobs_of(place, batch)[0], words("Done"))

    counts = look(api, batch)["counts"]

    some = {"total": 4, "queued": 2, "running": 1, "succeeded": 1}
    assert counts == dict.fromkeys(("held", "failed", "cancelled", "expired"), 0) | some


def test_results_come_in_the_order_of_the_ends_while_the_batch_runs(
    api: Api, place: Place, worker: FakeWorker
) -> None:
    batch = made(submit(api, items=prompts(3)))
    turn(place)
    jobs = jobs_of(place, batch)
    worker.claim(k=3)
    worker.finish(jobs[2], words("Third", finish="stop"))
    turn(place)
    page = api.get(f"/v1/batches/{batch['id']}/results?limit=10")
    assert [json.loads(line)["custom_id"] for line in page.text.splitlines()] == ["c2"]

    worker.finish(jobs[0], words("First"))
    turn(place)

    later = results(api, batch, f"?limit=10&after={page.headers['Next-Cursor']}")
    assert [(line["index"], line["pieces"][0]["text"]) for line in later] == [(0, "First")]
    assert [line["index"] for line in results(api, batch)] == [2, 0]


def test_a_batch_whose_items_have_ended_is_completed(api: Api, place: Place, worker: FakeWorker) -> None:
    batch = made(submit(api, items=prompts(2)))

    finished(place, worker, batch, "One", "Two!")

    done = look(api, batch)
    assert (done["state"], done["counts"]["succeeded"]) == ("completed", 2)
    assert done["usage"] == {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
    [first, second] = results(api, batch)
    assert (first["state"], first["pieces"][0]["text"], second["usage"]["completion_tokens"]) == (
        "succeeded",
        "One",
        4,
    )


def test_results_in_csv_have_a_head_and_a_row_for_each_piece(api: Api, place: Place, worker: FakeWorker) -> None:
    batch = made(submit(api, items=[{"prompt": "x", "n": 2, "max_tokens": 8, "custom_id": "a"}]))
    turn(place)
    worker.claim()
    worker.finish(jobs_of(place, batch)[0], words('A "b",\nc'), words("D", piece=1))
    turn(place)

    answer = api.get(f"/v1/batches/{batch['id']}/results?format=csv")

    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert answer.mimetype == "text/csv"
    assert [(row["custom_id"], row["piece"], row["text"]) for row in rows] == [
        ("a", "0", 'A "b",\nc'),
        ("a", "1", "D"),
    ]


def test_the_head_of_csv_comes_once_though_nothing_has_ended_yet(
    api: Api, place: Place, worker: FakeWorker
) -> None:
    batch = made(submit(api, items=prompts(1)))
    path = f"/v1/batches/{batch['id']}/results?format=csv&limit=10"
    first = api.get(path)
    finished(place, worker, batch, "One")

    second = api.get(f"{path}&after={first.headers['Next-Cursor']}")

    assert [answer.text.splitlines()[0].startswith("index,") for answer in (first, second)] == [True, False]
    assert len(first.text.splitlines()) == len(second.text.splitlines()) == 1


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_ranges_put_together_are_the_file(api: Api, place: Place, worker: FakeWorker, form: str) -> None:
    batch = made(submit(api, items=prompts(5)))
    finished(place, worker, batch, "One", "Two", "Drei", "四", "5")
    path = f"/v1/batches/{batch['id']}/results?format={form}"
    whole, found = api.get(path).data, b""

    while (part := api.get(path, headers={"Range": f"bytes={len(found)}-{len(found) + 99}"})).status_code == 206:
        assert part.headers["Content-Range"] == f"bytes {len(found)}-{len(found) + len(part.data) - 1}/*"
        found += part.data

    assert found == whole
    problem(part, 416, "range_not_satisfiable")
    assert api.get(path, headers={"Range": "bytes=40-"}).data == whole[40:]


def test_a_range_of_a_batch_that_runs_is_what_the_finished_file_has_there(
    api: Api, place: Place, worker: FakeWorker
) -> None:
    batch = made(submit(api, items=prompts(2)))
    turn(place)
    jobs = jobs_of(place, batch)
    worker.claim(k=2)
    worker.finish(jobs[1], words("Two"))
    turn(place)
    path = f"/v1/batches/{batch['id']}/results"
    early = api.get(path, headers={"Range": "bytes=0-"}).data

    worker.finish(jobs[0], words("One"))
    turn(place)

    assert early + api.get(path, headers={"Range": f"bytes={len(early)}-"}).data == api.get(path).data


def test_a_cursor_that_was_not_given_out_is_refused(api: Api) -> None:
    batch = made(submit(api, items=prompts(1)))

    for after in ("x", "%20", "r1", "cjA="):
        problem(api.get(f"/v1/batches/{batch['id']}/results?after={after}"), 400, "invalid_cursor")
    assert api.get(f"/v1/batches/{batch['id']}/results?after=cjA").status_code == 200  # the beginning


# ---- how it ends --------------------------------------------------------------------------------------------


def test_cancel_ends_all_at_once_and_keeps_what_is_done(api: Api, place: Place, worker: FakeWorker) -> None:
    batch = made(submit(api, items=prompts(6)))
    turn(place, window=3)
    worker.claim(k=2)
    worker.finish(jobs_of(place, batch)[0], words("Kept"))

    gone = shown(api.post(f"/v1/batches/{batch['id']}/cancel"))

    assert (gone["state"], gone["counts"]["cancelled"], gone["counts"]["succeeded"]) == ("cancelled", 5, 1)
    assert gone["finished_at"] is not None
    lines = results(api, batch)
    assert sorted((line["index"], line["state"]) for line in lines) == [(0, "succeeded")] + [
        (n, "cancelled") for n in range(1, 6)
    ]
    assert [line["error"]["code"] for line in lines if line["job_id"] is None] == ["batch_cancelled"] * 3
    assert shown(api.post(f"/v1/batches/{batch['id']}/cancel")) == gone
    assert turn(place) == 0


def test_what_failed_is_run_again_as_a_child(api: Api, place: Place, worker: FakeWorker) -> None:
    batch = made(submit(api, items=prompts(3), priority=5))
    turn(place)
    jobs = jobs_of(place, batch)
    worker.claim(k=3)
    worker.finish(jobs[0], words("One"))
    worker.finish(jobs[1], state=State.FAILED)
    worker.finish(jobs[2], words("Three"))
    problem(api.post(f"/v1/batches/{batch['id']}/retry"), 409)
    turn(place)

    child = made(api.post(f"/v1/batches/{batch['id']}/retry"))

    assert (child["parent_id"], child["counts"]["total"], child["priority"]) == (batch["id"], 1, 5)
    turn(place)
    [again] = jobs_of(place, child)
    assert api.job(again)["input"]["prompt"] == "Item 1"
    assert api.job(again)["parameters"]["seed"] == api.job(jobs[1])["parameters"]["seed"]
    finished(place, worker, child, "Now")
    assert results(api, child)[0]["custom_id"] == "c1"
    problem(api.post(f"/v1/batches/{child['id']}/retry"), 409)


def test_what_was_cancelled_is_run_again_if_asked(api: Api, place: Place) -> None:
    batch = made(submit(api, items=prompts(4)))
    turn(place, window=2)
    api.post(f"/v1/batches/{batch['id']}/cancel")
    problem(api.post(f"/v1/batches/{batch['id']}/retry"), 409)

    child = made(api.post(f"/v1/batches/{batch['id']}/retry", json={"states": ["cancelled"]}))

    turn(place)
    assert [api.job(job)["input"]["prompt"] for job in jobs_of(place, child)] == [f"Item {n}" for n in range(4)]


def test_a_batch_is_deleted_with_its_jobs_once_it_is_over(api: Api, place: Place, worker: FakeWorker) -> None:
    batch = made(submit(api, items=prompts(2)))
    turn(place)
    job = jobs_of(place, batch)[0]
    problem(api.delete(f"/v1/batches/{batch['id']}"), 409)
    api.post(f"/v1/batches/{batch['id']}/cancel")
    problem(api.delete(f"/v1/jobs/{job}"), 409, "conflict")

    assert api.delete(f"/v1/batches/{batch['id']}").status_code == 204

    problem(api.get(f"/v1/batches/{batch['id']}"), 404)
    problem(api.get(f"/v1/jobs/{job}"), 404)


def test_a_tenant_with_too_many_open_batches_is_told_so(api: Api, app: Flask) -> None:
    for _ in range(3):
        made(submit(api, items=prompts(1)))
    app.extensions["quire"].batches.opening._limits = type(app.extensions["quire"].batches.opening._limits)(9, 3)

    problem(submit(api, items=prompts(1)), 429, "quota_exceeded")


def test_a_batch_with_too_many_items_is_refused(api: Api, app: Flask) -> None:
    app.extensions["quire"].batches.opening._limits = type(app.extensions["quire"].batches.opening._limits)(9, 3)

    problem(submit(api, items=prompts(10)), 400, "invalid_field")


def test_the_list_is_in_pages_and_by_state(api: Api) -> None:
    made_ = [made(submit(api, items=prompts(1)))["id"] for _ in range(3)]
    api.post(f"/v1/batches/{made_[0]}/cancel")

    page = shown(api.get("/v1/batches?limit=2"))
    rest = shown(api.get(f"/v1/batches?after={page['next_cursor']}"))

    assert [batch["id"] for batch in page["data"] + rest["data"]] == made_[::-1]
    assert [batch["id"] for batch in shown(api.get("/v1/batches?state=cancelled"))["data"]] == made_[:1]
