"""Every route fuzzed from its OpenAPI document: no 5xx, answers as described, and nothing of another tenant."""

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
from quire.database import Database
from quire.testing import FakePublisher
from tests.contract.client import ADMIN_TOKEN, Api, add_key, shown
from tests.contract.conftest import Hub, settings_for

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
OPERATIONS = [(method.upper(), path) for path, item in document()["paths"].items() for method in item]


@dataclass(frozen=True)
class World:
    """An app with two tenants that have jobs, and the schema of what it answers."""

    app: Flask
    schema: Any
    mine: str  # the key of the tenant that asks
    ids: Mapping[str, list[str]]  # of both tenants, by the name of a path's parameter

    def headers(self, operation: Any) -> dict[str, str]:
        operator = {"operator": []} in operation.definition.raw.get("security", [])
        return {"Authorization": f"Bearer {ADMIN_TOKEN if operator else self.mine}"}


@pytest.fixture(scope="module")
def world(postgres_server: str, template: str) -> Iterator[World]:
    url = testing.create_database(postgres_server, template=template)
    database = Database(testing.sqlalchemy_url(url), name="test")
    place = testing.settle_in(database)
    app = create_app(settings_for(url), database=database, publisher=FakePublisher(), notices=Hub())
    with database.service() as session:
        other = testing.add_tenant(session, name=MARK)
    mine, theirs = Api(app, add_key(database, place.tenant)), Api(app, add_key(database, other))
    jobs = [api.submitted(prompt=MARK, metadata={MARK: MARK})["id"] for api in (theirs,) * 2]
    jobs += [mine.submitted()["id"] for _ in range(4)]
    operator = Api(app, ADMIN_TOKEN)
    tenants = [tenant["id"] for tenant in shown(operator.get("/v1/tenants"))["data"]]
    keys = [key["id"] for tenant in tenants for key in shown(operator.get(f"/v1/tenants/{tenant}/keys"))["data"]]
    spare = [shown(operator.post("/v1/tenants", json={"name": name}))["id"] for name in ("one", "two", "three")]
    ids = {"job_id": jobs, "tenant_id": spare, "key_id": keys}
    yield World(app, schemathesis.openapi.from_wsgi("/openapi.json", app), mine.secret, ids)
    app.extensions["quire"].waiting.close()
    database.close()
    testing.drop_database(postgres_server, url)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS])
def test_whatever_is_sent_the_answer_is_one_of_the_document(world: World, method: str, path: str) -> None:
    operation = world.schema[path][method]
    headers = world.headers(operation)

    @CALM
    @given(case=operation.as_strategy(), data=st.data())
    def fuzz(case: Any, data: st.DataObject) -> None:
        # An id out of thin air names nothing: most examples get one that there is, be it another's.
        for name, known in world.ids.items():
            if name in (case.path_parameters or {}) and data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(known))
        response = case.call(headers=headers)
        case.validate_response(response, checks=CHECKS)
        if headers["Authorization"].endswith(world.mine):
            assert MARK not in response.text

    fuzz()
