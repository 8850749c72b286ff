"""Every route fuzzed from its OpenAPI document: no 5xx, answers as described, and nothing of another tenant."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.openapi import document
from quire import testing
from quire.asking.request import MUSIC_ONLY
from quire.database import Database
from quire.testing import FakePublisher
from tests.contract.client import ADMIN_TOKEN, Api, add_key, shown
from tests.contract.conftest import Hub, settings_for
from tests.contract.tunes import finished_tune
from tests.contract.working import FakeWorker, words

EXAMPLES = 25  # of each route, the same in every run
MARK = "Rumpelstiltskin"  # stands in all that belongs to another tenant
CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
)  # fmt: skip
CALM = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
RULED = frozenset(
    {
        *MUSIC_ONLY,
        *(
            "longform",
            "kind",
            "lines",
            "stanza",
            "rhyme",
            "meter",
            "syllables",
            "form",
            "title",
            "theme",
            "style",
            "model",
        ),
        *("not_before", "deadline", "best_of", "min_tokens", "logit_bias"),
    }
)
DAILY = {"name": "morning", "cron": "0 7 * * *", "template": {"prompt": "{{date}}"}}
# Bodies that fit rules which no schema tells.
FIT = {
    ("POST", "/v1/jobs/plan"): {
        "kind": "longform",
        "longform": {"title": "Sea", "premise": "A voyage.", "parts": 2},
    },
    ("POST", "/v1/batches"): {"items": [{"prompt": "Once"}]},
    ("POST", "/v1/batches/{batch_id}/retry"): {"states": ["cancelled"]},
    ("POST", "/v1/webhooks"): {"url": "https://hooks.example/"},
    ("POST", "/v1/schedules"): DAILY,
    ("PUT", "/v1/schedules/{schedule_id}"): DAILY,
    ("POST", "/v1/schedules/preview"): {"rule": "FREQ=DAILY"},
    ("POST", "/v1/completions"): {"model": testing.MODEL, "prompt": "Once", "stream": True},
    ("POST", "/v1/responses"): {"model": testing.MODEL, "input": "Once", "background": True},
}
OPERATIONS = sorted(  # what ends or deletes comes last
    ((method.upper(), path) for path, item in document()["paths"].items() for method in item),
    key=lambda operation: (operation[0] == "DELETE", operation[1].endswith("/cancel")),
)


@dataclass(frozen=True)
class World:
    """An app with two tenants that have jobs, and the schema of what it answers."""

    app: Flask
    schema: Any
    mine: str  # the key of the tenant that asks
    ids: Mapping[str, list[str]]  # of both tenants, by the name of a path's parameter
    seen: dict[str, Counter[int]]  # answers by route

    def headers(self, operation: Any) -> dict[str, str]:
        operator = {"operator": []} in operation.definition.raw.get("security", [])
        return {"Authorization": f"Bearer {ADMIN_TOKEN if operator else self.mine}"}


@pytest.fixture(scope="module")
def world(postgres_server: str, template: str) -> Iterator[World]:
    url = testing.create_database(postgres_server, template=template)
    database = Database(testing.sqlalchemy_url(url), name="test")
    place = testing.settle_in(database)
    swift = settings_for(url).model_copy(update={"max_stream_seconds": 0.05})
    app = create_app(swift, database=database, publisher=FakePublisher(), notices=Hub())
    with database.service() as session:
        other = testing.add_tenant(session, name=MARK)
    mine, theirs = Api(app, add_key(database, place.tenant)), Api(app, add_key(database, other))
    theirs_jobs = [theirs.submitted(prompt=MARK, metadata={MARK: MARK})["id"] for _ in range(2)]
    jobs = [mine.submitted()["id"] for _ in range(4)]
    worker = FakeWorker(place)
    worker.claim()
    for job in jobs[:3]:
        worker.finish(job, words("The end."))
    asked = {"items": [{"prompt": MARK, "custom_id": "a"}]}
    theirs_batch = shown(theirs.post("/v1/batches", json=asked))["id"]
    batches = [shown(mine.post("/v1/batches", json={"items": [{"prompt": "Once"}]}))["id"] for _ in range(4)]
    for batch in (*batches[:3], theirs_batch):
        (theirs if batch == theirs_batch else mine).post(f"/v1/batches/{batch}/cancel")
    schedules = [shown(mine.post("/v1/schedules", json=DAILY))["id"] for _ in range(4)]
    schedules.append(shown(theirs.post("/v1/schedules", json=DAILY | {"name": MARK}))["id"])
    webhooks = {"webhook_id": [], "delivery_id": []}
    for one in (mine, mine, theirs):
        webhook = shown(one.post("/v1/webhooks", json={"url": "https://hooks.example/", "description": MARK}))[
            "id"
        ]
        webhooks["webhook_id"].append(webhook)
        webhooks["delivery_id"].append(shown(one.post(f"/v1/webhooks/{webhook}/test"))["id"])
    for webhook in webhooks["webhook_id"][:2]:
        mine.request("PATCH", f"/v1/webhooks/{webhook}", json={"description": "mine"})
    operator = Api(app, ADMIN_TOKEN)
    spare = [shown(operator.post("/v1/tenants", json={"name": name}))["id"] for name in ("active", "idle", "gone")]
    keys = [shown(operator.post(f"/v1/tenants/{tenant}/keys", json={}))["id"] for tenant in spare]
    for tenant in spare[1:]:
        operator.post(f"/v1/tenants/{tenant}/suspend")
    operator.delete(f"/v1/tenants/{spare[2]}")
    tune = finished_tune(mine, place)
    book = mine.submitted(kind="longform", longform={"title": "Sea", "premise": "A voyage.", "parts": 1})["id"]
    worker.claim()
    worker.finish(book, words("We sailed."))
    ids = {  # the simplest first
        "job_id": [tune, book, *jobs, *theirs_jobs],
        "batch_id": [*batches, theirs_batch],
        **webhooks,
        "schedule_id": schedules,
        "tenant_id": spare,
        "key_id": keys,
        "file_id": [file_of(mine, "Once"), file_of(theirs, MARK)],
        "response_id": [response_of(mine, "Once"), response_of(mine, "Twice"), response_of(theirs, MARK)],
        "model_name": [testing.MODEL, "unloaded"],
        "name": ["tune-0.mid", "tune-0.svg", "tune-0.wav"],
    }
    yield World(app, schemathesis.openapi.from_wsgi("/openapi.json", app), mine.secret, ids, {})
    app.extensions["quire"].waiting.close()
    database.close()
    testing.drop_database(postgres_server, url)


def file_of(api: Api, text: str) -> str:
    form = {"purpose": "batch", "file": (io.BytesIO(text.encode()), text)}
    return str(shown(api.post("/v1/files", data=form))["id"])


def response_of(api: Api, text: str) -> str:
    asked = {"model": testing.MODEL, "input": text, "background": True, "metadata": {text: text}}
    return str(shown(api.post("/v1/responses", json=asked))["id"])


def by_the_rules(job: dict[str, Any]) -> dict[str, Any]:
    """Take away what no schema can tell is wrong."""
    return {name: value for name, value in job.items() if name not in RULED} | {"prompt": "Once"}


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS])
def test_whatever_is_sent_the_answer_is_one_of_the_document(world: World, method: str, path: str) -> None:
    operation = world.schema[path][method]
    headers = world.headers(operation)

    @CALM
    @given(case=operation.as_strategy(), data=st.data())
    def fuzz(case: Any, data: st.DataObject) -> None:
        # An id out of thin air names nothing: most examples get one that there is, be it another's.
        for name, known in world.ids.items():
            if name in (case.path_parameters or {}) and data.draw(st.integers(0, 4)) < 4:
                case.path_parameters[name] = data.draw(st.sampled_from(known))
        # Rules that no schema tells: one of `prompt` and `form`, times that lie ahead, pieces that there are.
        if (method, path) == ("POST", "/v1/jobs") and isinstance(case.body, dict) and not data.draw(st.booleans()):
            case.body = by_the_rules(case.body)
        if (method, path) == ("POST", "/v1/jobs/bulk") and not data.draw(st.booleans()):
            asked = case.body.get("jobs") if isinstance(case.body, dict) else None
            some = [job for job in asked[:3] if isinstance(job, dict)] if isinstance(asked, list) else []
            case.body = {"jobs": [by_the_rules(job) for job in some] or [{"prompt": "Once"}]}
        if (method, path) in FIT and not data.draw(st.booleans()):
            case.body, case.media_type = FIT[method, path], "application/json"
        if case.query and not data.draw(st.booleans()):
            case.query = {}
        response = case.call(headers=headers)
        # That nobody works here is what the server says with 504.
        case.validate_response(response, checks=CHECKS[1:] if response.status_code == 504 else CHECKS)
        world.seen.setdefault(f"{method} {path}", Counter())[response.status_code] += 1
        if headers["Authorization"].endswith(world.mine):
            assert MARK.encode() not in response.content

    fuzz()


def test_the_fuzzing_got_past_the_refusals(world: World) -> None:
    # A run in which everything was refused would have tested little.
    if len(world.seen) < len(OPERATIONS):
        pytest.skip("only some of the routes were fuzzed")
    never = {route for route, answers in world.seen.items() if not any(status < 400 for status in answers)}

    assert never == set(), {route: world.seen[route] for route in never}
    assert sum(sum(answers.values()) for answers in world.seen.values()) >= EXAMPLES * len(OPERATIONS) / 2
