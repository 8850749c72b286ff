"""The end of a background response as webhooks tell it: once, and as the response itself shows it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from openai.types import webhooks
from sqlalchemy import select, update

from quire import ids, jobs, testing
from quire.store import Event, Job
from quire.store.base import now
from quire.store.job import State
from quire.testing import MODEL, Place
from quire.webhooks import events, signing
from tests.contract.client import Api
from tests.contract.openai import openai_client
from tests.contract.working import FakeWorker, words

URL = "https://hooks.example/quire"


class Desk:
    """A tenant with an endpoint for all events, its client, and a worker."""

    def __init__(self, app: Flask, api: Api, place: Place) -> None:
        answer = api.post("/v1/webhooks", json={"url": URL})
        assert answer.status_code == 201
        self.client = openai_client(app, api.secret, webhook_secret=answer.json["secret"])  # type: ignore[index]
        self._secret = answer.json["secret"]  # type: ignore[index]
        self.api, self.place, self.worker = api, place, FakeWorker(place)

    def ask(self) -> str:
        return str(self.client.responses.create(model=MODEL, input="Once", background=True).id)

    def run(self, response: str) -> str:
        """Have it run, with half its text written; returns its job's id."""
        job = response.replace("resp_", "job_")
        self.worker.claim()
        self.worker.write(job, words("The sea"))
        return job

    def change(self, response: str, **columns: Any) -> None:
        with self.place.database.service() as session:
            session.execute(update(Job).where(Job.id == key(response)).values(**columns))

    def told(self) -> list[Any]:
        """Return the events that were written, as OpenAI's client reads them."""
        with self.place.database.service() as session:
            rows = session.scalars(select(Event).order_by(Event.id)).all()
            moment = now(session)
        return [self._unwrapped(row, moment) for row in rows]

    def _unwrapped(self, row: Event, moment: datetime) -> Any:
        body = events.body(row)
        headers = signing.headers([self._secret], ids.show(ids.EVENT, row.id), moment, body)
        return self.client.webhooks.unwrap(body.decode(), headers)


def key(response: str) -> UUID:
    found = ids.parse(ids.RESPONSE, response)
    assert found is not None
    return found


@pytest.fixture
def desk(app: Flask, api: Api, place: Place) -> Iterator[Desk]:
    desk = Desk(app, api, place)
    with desk.client:
        yield desk


def done(desk: Desk, response: str) -> None:
    desk.worker.finish(desk.run(response), words(" is wide.", finish="stop"))


def cut(desk: Desk, response: str) -> None:
    desk.worker.finish(desk.run(response), words(" is wide", finish="length"))


def failed(desk: Desk, response: str) -> None:
    desk.worker.finish(desk.run(response), state=State.FAILED)


def cancelled_in_its_midst(desk: Desk, response: str) -> None:
    desk.run(response)
    desk.client.responses.cancel(response)


def cancelled_while_it_waits(desk: Desk, response: str) -> None:
    desk.client.responses.cancel(response)
    desk.client.responses.cancel(response)


def cancelled_while_it_is_held(desk: Desk, response: str) -> None:
    job = response.replace("resp_", "job_")
    assert desk.api.post(f"/v1/jobs/{job}/pause").status_code == 200
    assert desk.api.post(f"/v1/jobs/{job}/cancel").status_code == 200


def expired(desk: Desk, response: str) -> None:
    desk.run(response)
    desk.change(response, deadline=datetime.now(UTC) - timedelta(hours=1))
    with desk.place.database.service() as session:
        assert jobs.expire_overdue(session) == 1


def given_up(desk: Desk, response: str) -> None:
    desk.run(response)
    desk.change(response, alone=True, attempts=2)
    with desk.place.database.service() as session:
        session.execute(testing.worker.LEAVE, {"id": desk.worker.id})
    with desk.place.database.service() as session:
        assert jobs.requeue_orphans(session, max_attempts=3) == 1


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (done, webhooks.ResponseCompletedWebhookEvent),
        (cut, webhooks.ResponseIncompleteWebhookEvent),
        (failed, webhooks.ResponseFailedWebhookEvent),
        (cancelled_in_its_midst, webhooks.ResponseCancelledWebhookEvent),
        (cancelled_while_it_waits, webhooks.ResponseCancelledWebhookEvent),
        (cancelled_while_it_is_held, webhooks.ResponseCancelledWebhookEvent),
        (expired, webhooks.ResponseIncompleteWebhookEvent),
        (given_up, webhooks.ResponseFailedWebhookEvent),
    ],
)
def test_each_end_is_told_once_as_the_response_shows_it(
    desk: Desk, end: Callable[[Desk, str], None], kind: type
) -> None:
    response = desk.ask()
    assert desk.told() == []

    end(desk, response)

    [told] = desk.told()
    assert isinstance(told, kind)
    assert (told.object, told.data.id) == ("event", response)
    assert told.type == f"response.{desk.client.responses.retrieve(response).status}"


def test_a_response_that_is_waited_for_is_told_as_a_job(desk: Desk) -> None:
    with desk.worker.at_work():
        desk.client.responses.create(model=MODEL, input="Once")

    with desk.place.database.service() as session:
        assert session.scalars(select(Event.type)).all() == ["job.succeeded"]


def test_an_endpoint_may_ask_for_the_ends_of_responses_alone(desk: Desk) -> None:
    assert desk.api.post("/v1/webhooks", json={"url": URL, "events": ["response.*"]}).status_code == 201
    wrong = desk.api.post("/v1/webhooks", json={"url": URL, "events": ["response.done"]})
    assert wrong.status_code == 400
    assert "response.incomplete" in wrong.text
