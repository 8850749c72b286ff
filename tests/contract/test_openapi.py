"""The document says what the app does: each route is in it, and real answers are what it says they are."""

import io
import re
from contextlib import nullcontext
from html.parser import HTMLParser
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api import problems
from api.operations import OPERATIONS, Operation
from quire.testing import MODEL, Place
from tests.contract.client import Api, shown
from tests.contract.tunes import finished_tune
from tests.contract.working import FakeWorker, words

DAILY = {"name": "morning", "cron": "0 7 * * *", "template": {"prompt": "{{date}}"}}
WAITING = ("/v1/completions",)  # they answer when a worker has done what they ask for


def test_each_route_is_in_the_document_and_no_other(shared: Any) -> None:
    routes = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in shared.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    document = shown(shared.api.get("/openapi.json"))
    described = {(method, path) for path, item in document["paths"].items() for method in item}
    assert described == routes


def test_every_reference_leads_somewhere(shared: Any) -> None:
    document = shared.api.get("/openapi.json")
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', document.text))
    assert names <= set(shown(document)["components"]["schemas"])
    assert {"Job", "JobRequest", "Problem"} <= names


def test_operation_ids_are_unique(shared: Any) -> None:
    paths = shown(shared.api.get("/openapi.json"))["paths"]
    ids = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


def test_operations_need_a_key_where_the_document_says_so(shared: Any) -> None:
    for operation in OPERATIONS:
        path = operation.path.replace("{", "").replace("}", "")
        answer = shared.app.test_client().open(path, method=operation.method)
        assert (answer.status_code == 401) == (operation.security is not None), operation.path


def finished_book(api: Api, worker: FakeWorker) -> str:
    book = {"title": "Sea", "premise": "A voyage.", "parts": 1}
    job = str(api.submitted(kind="longform", longform=book)["id"])
    worker.claim()
    worker.finish(job, words("We sailed."))
    return job


def test_real_answers_are_what_the_document_says(
    api: Api, operator: Api, worker: FakeWorker, place: Place
) -> None:
    job = api.submitted(
        form="story", theme="rain", logprobs=2, metadata={"a": "b"}, deadline="2900-01-01T00:00:00Z"
    )
    worker.claim()
    worker.write(job["id"], words("The rain"))
    tenant = shown(operator.post("/v1/tenants", json={"name": "press"}))
    key = shown(operator.post(f"/v1/tenants/{tenant['id']}/keys", json={}))
    gone = shown(operator.post("/v1/tenants", json={"name": "gone"}))["id"]
    operator.post(f"/v1/tenants/{gone}/suspend")
    operator.delete(f"/v1/tenants/{gone}")
    files = finished_tune(api, place)
    batch, over = (shown(api.post("/v1/batches", json={"items": [{"prompt": "Once"}]}))["id"] for _ in range(2))
    api.post(f"/v1/batches/{over}/cancel")
    held = api.submitted(not_before="2900-01-01T00:00:00Z")["id"]
    ids = {
        "job_id": job["id"],
        "tenant_id": tenant["id"],
        "key_id": key["id"],
        "batch_id": batch,
        "model_name": MODEL,
    }
    ids |= webhook_ids(api) | {"schedule_id": schedule_id(api)}
    ids["file_id"] = str(shown(api.post("/v1/files", data=upload()))["id"])
    response = {"model": MODEL, "input": "Once", "background": True}
    ids["response_id"] = shown(api.post("/v1/responses", json=response))["id"]
    etag = api.get(f"/v1/jobs/{job['id']}").headers["ETag"]
    bodies = {
        "/v1/jobs": {"prompt": "Once"},
        "/v1/jobs/bulk": {"jobs": [{"prompt": "Once"}]},
        "/v1/schedules": DAILY,
        "/v1/schedules/preview": {"cron": "0 7 * * *"},
        "/v1/schedules/{schedule_id}": DAILY,
        "/v1/webhooks": {"url": "https://hooks.example/"},
        "/v1/webhooks/{webhook_id}": {"description": "the shop"},
        "/v1/webhooks/{webhook_id}/rotate": {},
        "/v1/batches": {"items": [{"prompt": "Once"}]},
        "/v1/batches/{batch_id}/retry": {"states": ["cancelled"]},
        "/v1/jobs/{job_id}/continue": {"parts": 1},
        "/v1/jobs/plan": {"kind": "longform", "longform": {"title": "Sea", "premise": "A voyage.", "parts": 1}},
        "/v1/tenants/{tenant_id}": {"weight": 2},
        "/v1/tenants": {"name": "another"},
        "/v1/tenants/{tenant_id}/keys": {"scopes": ["jobs:read"]},
        "/v1/completions": {"model": MODEL, "prompt": "Once"},
        "/v1/responses": response,
    }

    # What deletes comes last, and needs its tenant suspended.
    deleting = sorted(
        (operation for operation in OPERATIONS if operation.method == "DELETE"), key=depth, reverse=True
    )
    for operation in [operation for operation in OPERATIONS if operation.method != "DELETE"] + deleting:
        who = operator if operation.security == "operator" else api
        if operation.path == "/v1/tenants/{tenant_id}" and operation.method == "DELETE":
            operator.post(f"/v1/tenants/{tenant['id']}/suspend")
        names = ids | {"tenant_id": gone} if operation.path.endswith("/receipt") else ids
        if operation.path.endswith("/output"):
            worker.finish(job["id"])
        if operation.path.endswith(("/results", "/retry")) or operation.path == "/v1/batches/{batch_id}":
            names = ids | {"batch_id": over}
        if operation.path.endswith(("/book", "/continue")):
            names = ids | {"job_id": finished_book(api, worker)}
        if operation.path in {"/v1/jobs/{job_id}/pause", "/v1/jobs/{job_id}/resume"}:
            names = ids | {"job_id": held}
        if "/artifacts" in operation.path:
            names = {"job_id": files, "name": "tune-0.mid"}
        for status in operation.answers:
            tag = api.get(f"/v1/jobs/{files}/artifacts/tune-0.mid").headers["ETag"] if "name" in names else etag
            headers = {206: {"Range": "bytes=0-1"}, 304: {"If-None-Match": tag}}.get(status, {})
            json = bodies.get(operation.path) if operation.body else None
            sent = {"data": upload()} if operation.upload else {"json": json}
            with worker.at_work() if operation.path in WAITING else nullcontext():
                answer = who.request(operation.method, operation.path.format(**names), headers=headers, **sent)
            assert answer.status_code == status, (operation.path, answer.text)
            check(answer, operation.answers[status])


def upload() -> dict[str, Any]:
    return {"purpose": "batch", "file": (io.BytesIO(b"{}"), "lines.jsonl")}


def schedule_id(api: Api) -> str:
    return str(shown(api.post("/v1/schedules", json=DAILY))["id"])


def webhook_ids(api: Api) -> dict[str, str]:
    webhook = shown(api.post("/v1/webhooks", json={"url": "https://hooks.example/"}))["id"]
    return {"webhook_id": webhook, "delivery_id": shown(api.post(f"/v1/webhooks/{webhook}/test"))["id"]}


def depth(operation: Operation) -> int:
    return operation.path.count("/")


def check(answer: TestResponse, described: Any) -> None:
    if described.model is not None:
        assert answer.mimetype == "application/json"
        described.model.model_validate_json(answer.data, strict=True)
    else:
        assert described.media is None or answer.mimetype in {described.media, *described.or_media}
        assert bool(answer.data) == bool(described.media)
    special = {"Location", "ETag", "Idempotent-Replayed", "Preference-Applied", "Retry-After"}
    assert special & set(dict(answer.headers)) <= set(described.headers)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 415, 416, 422, 429, 500, 503, 504])
def test_every_error_of_the_contract_is_described_as_a_problem(shared: Any, status: int) -> None:
    paths = shown(shared.api.get("/openapi.json"))["paths"]
    answers = [operation["responses"] for item in paths.values() for operation in item.values()]
    described = [answer[str(status)] for answer in answers if str(status) in answer]
    assert described
    for answer in described:
        reference = answer["content"]["application/problem+json"]["schema"]["$ref"]
        assert reference.endswith(problems.Problem.__name__)


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(shared: Any) -> None:
    answer = shared.app.test_client().get("/docs")

    assert answer.mimetype == "text/html"
    assert "script" not in answer.headers["Content-Security-Policy"]
    page = Page()
    page.feed(answer.text)
    assert page.open == []
    assert not {"script", "img", "link", "iframe"} & page.tags
    assert all(link.startswith("#") or link == "/openapi.json" for link in page.links)
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= page.ids
    for operation in OPERATIONS:
        assert operation.path in answer.text
    assert "max_tokens" in answer.text


class Page(HTMLParser):
    VOID = frozenset({"meta", "br", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert name not in {"style", "onclick", "src"}
            if name == "href":
                self.links.add(str(value))
            if name == "id":
                self.ids.add(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
