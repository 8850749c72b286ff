"""Webhooks from the outbox to a receiver: what is told, with what, how often, and whom it may not hurt."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import openai
import pytest
from openai.types.webhooks import ResponseCompletedWebhookEvent
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from standardwebhooks.webhooks import Webhook

from quire import batches, ids, jobs, testing
from quire.store import Attempt, Delivery, Endpoint, Event, Tenant
from quire.store.base import now
from quire.store.webhook import DeliveryState
from quire.testing import RING, Place
from quire.webhooks import delivering, events, signing
from quire.webhooks.delivering import Room
from scheduler import housekeeping
from scheduler.batching import Batching
from scheduler.webhooks import Webhooks
from tests.integration import steps
from tests.receiver import Receiver, receiver
from tests.waiting import until

Make = Callable[..., UUID]
SECRET = signing.new_secret()


@pytest.fixture
def endpoint(place: Place) -> Make:
    """Make an endpoint of the place's tenant."""

    def make(url: str, *names: str, owner: Tenant | None = None, **columns: Any) -> UUID:
        tenant, made = owner or place.tenant, ids.new_id()
        secret = testing.data_key(tenant).seal(SECRET.encode(), signing.place(made))
        with place.database.tenant(tenant.id) as session:
            session.add(
                Endpoint(
                    id=made, tenant_id=tenant.id, url=url, events=list(names or ("*",)), secret=secret, **columns
                )
            )
        return made

    return make


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as told:
        yield told


def scheduler(place: Place, *, allow_private: bool = True) -> Webhooks:
    return Webhooks(place.database, RING, allow_private=allow_private)


def deliveries(place: Place) -> list[Delivery]:
    with place.database.service() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def attempts(place: Place) -> list[Attempt]:
    with place.database.service() as session:
        return list(session.scalars(select(Attempt).order_by(Attempt.delivery_id, Attempt.number)))


def pump(place: Place, sender: Webhooks, tried: int) -> list[Attempt]:
    """Run the duty until so many attempts are written."""

    def there_are() -> bool:
        sender.run()
        return len(attempts(place)) >= tried

    until(there_are)
    return attempts(place)


def ended(place: Place) -> UUID:
    """One job that has succeeded."""
    claimed = steps.running(place)
    steps.succeed(place, claimed, "Done")
    return claimed.id


def test_the_end_of_a_job_is_told_signed_and_once(place: Place, endpoint: Make, there: Receiver) -> None:
    endpoint(there.url)
    job = ended(place)

    sender = scheduler(place)
    pump(place, sender, 1)
    sender.run()

    [message] = there.messages
    told = Webhook(SECRET).verify(message.body, message.headers)
    assert (told["type"], told["data"]["id"]) == ("job.succeeded", ids.show(ids.JOB, job))
    assert [row.state for row in deliveries(place)] == [DeliveryState.DELIVERED]


def test_the_end_of_a_batch_is_what_openais_client_unwraps(place: Place, endpoint: Make, there: Receiver) -> None:
    endpoint(there.url)
    batch = steps.batch(place, 1)
    turn = Batching(place.database, window=8).run
    turn()
    (claimed,) = steps.claim(place, steps.worker(place))
    steps.succeed(place, claimed, "Done")
    turn()

    pump(place, scheduler(place), 1)

    [message] = there.messages  # the end of its item is not told by itself
    client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
    told = client.webhooks.unwrap(message.body.decode(), message.headers)
    client.close()
    assert (told.type, told.data.id, told.object) == ("batch.completed", ids.show(ids.BATCH, batch), "event")


def test_the_end_of_a_background_response_is_what_openais_client_unwraps(
    place: Place, endpoint: Make, there: Receiver
) -> None:
    endpoint(there.url, "response.completed")
    claimed = steps.running(place, background=True)
    steps.succeed(place, claimed, "Done")

    pump(place, scheduler(place), 1)

    [message] = there.messages
    client = openai.OpenAI(api_key="x", webhook_secret=SECRET)
    told = client.webhooks.unwrap(message.body.decode(), message.headers)
    client.close()
    assert isinstance(told, ResponseCompletedWebhookEvent)
    assert told.data.id == ids.show(ids.RESPONSE, claimed.id)


def test_only_what_is_subscribed_to_is_told(place: Place, endpoint: Make) -> None:
    endpoint("https://a.example/", "batch.*")
    failed = endpoint("https://b.example/", "job.succeeded", "job.failed")
    endpoint("https://c.example/", "*", disabled_at=datetime(2026, 1, 1).astimezone())
    endpoint("https://d.example/", owner=steps.tenant(place))
    ended(place)

    assert [row.endpoint_id for row in deliveries(place)] == [failed]


def cancel_and_fail(session: Session, tenant: UUID, batch: UUID) -> None:
    batches.cancel(session, tenant, batch)
    raise RuntimeError("lost before the commit")


def test_what_is_undone_is_not_told(place: Place, endpoint: Make) -> None:
    endpoint("https://a.example/")
    batch = steps.batch(place, 1)
    with pytest.raises(RuntimeError, match="lost"), place.database.tenant(place.tenant.id) as session:
        cancel_and_fail(session, place.tenant.id, batch)

    assert deliveries(place) == []
    with place.database.tenant(place.tenant.id) as session:
        batches.cancel(session, place.tenant.id, batch)
    assert len(deliveries(place)) == 1


def test_a_cancel_by_the_tenant_is_told(place: Place, endpoint: Make) -> None:
    endpoint("https://a.example/")
    job = steps.queued(place)
    with place.database.tenant(place.tenant.id) as session:
        jobs.cancel(session, place.tenant.id, job.id)

    with place.database.service() as session:
        assert session.scalars(select(Event.type)).all() == ["job.cancelled"]


@pytest.mark.parametrize(("status", "says"), [(500, "It answered 500."), (302, "It answered 302.")])
def test_what_is_not_taken_climbs_the_ladder(
    place: Place, endpoint: Make, there: Receiver, status: int, says: str
) -> None:
    there.status, there.location = status, there.url
    endpoint(there.url)
    ended(place)
    sender = scheduler(place)
    waits = []
    for number in range(1, 11):
        tried = pump(place, sender, number)
        [row] = deliveries(place)
        waits.append(round((row.due_at - tried[-1].at).total_seconds()))
        with place.database.service() as session:
            session.execute(update(Delivery).values(due_at=now(session)))

    assert [(tried[-1].status, tried[-1].error), len(there.messages)] == [(status, says), 10]
    assert waits[:9] == list(delivering.LADDER)
    assert row.state is DeliveryState.FAILED
    assert len(set(there.names)) == 1


def test_an_endpoint_that_is_gone_is_disabled(place: Place, endpoint: Make, there: Receiver) -> None:
    there.status = 410
    made = endpoint(there.url)
    ended(place)

    pump(place, scheduler(place), 1)

    with place.database.service() as session:
        row = session.get_one(Endpoint, made)
    assert (row.disabled_at is not None, row.disabled_why) == (True, "It answered 410 Gone.")
    assert deliveries(place)[0].state is DeliveryState.FAILED


def test_an_endpoint_that_hangs_keeps_nobody_waiting(place: Place, endpoint: Make, there: Receiver) -> None:
    with receiver(hold=threading.Event()) as stuck:
        for _ in range(40):  # more than there are threads for any kind
            endpoint(stuck.url)
        endpoint(there.url)
        with place.database.service() as session:
            session.execute(update(Endpoint).where(Endpoint.url == stuck.url).values(failures=1))
        ended(place)
        sender = scheduler(place)

        pump(place, sender, 1)

        assert (len(there.messages), len(stuck.messages) <= 16) == (1, True)


def test_a_private_address_is_refused_when_it_is_called(place: Place, endpoint: Make, there: Receiver) -> None:
    # The name is fine; what it resolves to is not.
    endpoint(there.url.replace("http://127.0.0.1", "https://localhost"))
    ended(place)

    [tried] = pump(place, scheduler(place, allow_private=False), 1)

    assert (tried.status, tried.error) == (None, "It may not be called: its host resolves to a private address.")
    assert there.messages == []


def test_during_a_rotation_both_secrets_sign(place: Place, endpoint: Make, there: Receiver) -> None:
    made, new = endpoint(there.url), signing.new_secret()
    sealed = testing.data_key(place.tenant).seal(new.encode(), signing.place(made))
    with place.database.service() as session:
        row = session.get_one(Endpoint, made)
        row.old_secret, row.old_until, row.secret = row.secret, now(session) + timedelta(hours=1), sealed
    ended(place)

    pump(place, scheduler(place), 1)

    [message] = there.messages
    for secret in (SECRET, new):
        assert Webhook(secret).verify(message.body, message.headers)


def test_two_schedulers_deliver_each_event_once(place: Place, endpoint: Make, there: Receiver) -> None:
    endpoint(there.url)
    news = events.News(place.tenant.id, "job.succeeded", "job_1")
    with place.database.service() as session:
        events.tell(session, [news] * 60)
    first, second = scheduler(place), scheduler(place)

    def all_are() -> bool:
        first.run()
        second.run()
        return {row.state for row in deliveries(place)} == {DeliveryState.DELIVERED}

    until(all_are)

    assert len(there.messages) == len(set(there.names)) == 60
    assert len(attempts(place)) == 60


def take(session: Session, free: int = 9, share: int = 9, busy: dict[UUID, bool] | None = None) -> dict[UUID, Any]:
    room = Room(free, share)
    return delivering.take(session, healthy=room, suspects=room, each=9, busy=busy or {})


@pytest.mark.parametrize("failures", [0, 1])
def test_a_tenant_with_many_endpoints_keeps_no_other_waiting(place: Place, endpoint: Make, failures: int) -> None:
    other = steps.tenant(place)
    for _ in range(20):
        endpoint("https://a.example/", failures=failures)
    own = endpoint("https://b.example/", owner=other, failures=failures)
    news = [events.News(tenant, "job.succeeded", "job_1") for tenant in (place.tenant.id, other.id)]
    with place.database.service() as session:
        events.tell(session, news[:1])
    with place.database.service() as session:
        events.tell(session, news[1:])  # what is due last

    with place.database.service() as session:
        taken = take(session, free=2)
        assert own in taken
        assert len(taken) == 2


@pytest.mark.parametrize("failures", [0, 1])
def test_a_tenant_has_its_share_of_the_threads_at_most(place: Place, endpoint: Make, failures: int) -> None:
    made = [endpoint("https://a.example/", failures=failures) for _ in range(6)]
    with place.database.service() as session:
        events.tell(session, [events.News(place.tenant.id, "job.succeeded", "job_1")])

    with place.database.service() as session:
        taken = take(session, share=3, busy={made[0]: failures > 0, made[1]: failures == 0})

    assert len(taken) == 2


def test_a_delivery_whose_scheduler_was_lost_is_due_again(place: Place, endpoint: Make, there: Receiver) -> None:
    endpoint(there.url)
    ended(place)
    with place.database.service() as session:
        taken = take(session)
        assert len(taken) == 1
    with place.database.service() as session:
        assert take(session) == {}
        session.execute(update(Delivery).values(due_at=now(session)))  # the lease is over

    pump(place, scheduler(place), 1)

    assert len(there.messages) == 1


def test_events_are_kept_for_some_days(place: Place, endpoint: Make) -> None:
    endpoint("https://a.example/")
    ended(place)
    assert housekeeping.forget_events(place.database, 30) == 0
    with place.database.service() as session:
        session.execute(update(Event).values(created_at=now(session) - timedelta(days=31)))

    assert housekeeping.forget_events(place.database, 30) == 1

    with place.database.service() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 0


def test_the_body_is_the_same_in_all_attempts(place: Place, endpoint: Make, there: Receiver) -> None:
    there.status = 500
    endpoint(there.url)
    ended(place)
    sender = scheduler(place)
    pump(place, sender, 1)
    with place.database.service() as session:
        session.execute(update(Delivery).values(due_at=now(session)))
    pump(place, sender, 2)

    first, second = there.messages
    assert first.body == second.body
    assert json.loads(first.body)["data"]["id"].startswith("job_")
