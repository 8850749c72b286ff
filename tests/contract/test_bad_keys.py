"""Who goes on and on with bad keys is told to wait; a good key works whatever its neighbours do."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from api.app import create_app
from quire.settings import Settings
from quire.testing import FakePublisher, Place
from tests.contract.client import ADMIN_TOKEN, add_key, problem

LIMIT = 3
UNKNOWN = "qk_" + "a" * 12 + "_" + "b" * 43
Look = Callable[..., TestResponse]


@pytest.fixture(params=[0])
def proxies(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def app(settings: Settings, place: Place, hub: Any, proxies: int) -> Flask:
    strict = settings.model_copy(update={"bad_keys_per_minute": LIMIT, "proxies": proxies})
    return create_app(strict, database=place.database, publisher=FakePublisher(), notices=hub)


@pytest.fixture
def look(app: Flask) -> Look:
    """Sends one request with a credential from an address."""

    def look(token: str, address: str = "192.0.2.1", path: str = "/v1/jobs", **headers: str) -> TestResponse:
        sent = {"Authorization": f"Bearer {token}"} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        return app.test_client().get(path, headers=sent, environ_base={"REMOTE_ADDR": address})

    return look


def other(number: int) -> str:
    """A key of the right form that nobody has."""
    return f"qk_{number:012d}_" + "b" * 43


def exhaust(look: Look, address: str = "192.0.2.1") -> None:
    for number in range(LIMIT):
        problem(look(other(number), address), 401, "unauthenticated")


def test_after_some_failures_an_address_is_told_to_wait(look: Look) -> None:
    exhaust(look)

    answer = look(other(99))

    problem(answer, 429, "too_many_failures")
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_a_good_key_from_the_same_address_still_works(look: Look, place: Place) -> None:
    exhaust(look)
    problem(look(other(99)), 429)

    assert look(add_key(place.database, place.tenant)).status_code == 200


def test_another_address_is_not_told_to_wait(look: Look) -> None:
    exhaust(look)

    problem(look(other(99), "192.0.2.2"), 401, "unauthenticated")


def test_one_key_tried_from_many_addresses_is_counted_by_its_prefix(look: Look, place: Place) -> None:
    good = add_key(place.database, place.tenant)
    wrong = good[:16] + "b" * 43
    for number in range(LIMIT):
        problem(look(wrong, f"198.51.100.{number}"), 401, "unauthenticated")

    problem(look(wrong, "203.0.113.1"), 429, "too_many_failures")
    assert look(good, "203.0.113.2").status_code == 200  # or who knows a prefix could lock its owner out


def test_guesses_of_the_operators_token_are_counted(look: Look) -> None:
    for number in range(LIMIT):
        problem(look(f"guess {number}", path="/v1/tenants"), 401, "unauthenticated")

    problem(look("guess", path="/v1/tenants"), 429, "too_many_failures")
    assert look(ADMIN_TOKEN, path="/v1/tenants").status_code == 200


def test_a_request_without_a_credential_is_no_attempt(app: Flask) -> None:
    for _ in range(LIMIT + 2):
        problem(app.test_client().get("/v1/jobs"), 401, "unauthenticated")


def test_what_a_client_says_of_its_address_is_not_believed(look: Look) -> None:
    for number in range(LIMIT):
        look(other(number), X_Forwarded_For=f"198.51.100.{number}")

    problem(look(other(99), X_Forwarded_For="203.0.113.1"), 429, "too_many_failures")


@pytest.mark.parametrize("proxies", [1], indirect=True)
def test_behind_a_proxy_the_address_is_what_the_proxy_says(look: Look) -> None:
    proxy = "10.0.0.1"
    for number in range(LIMIT):  # the client made up the first entry, the proxy wrote the last
        look(other(number), proxy, X_Forwarded_For=f"203.0.113.{number}, 198.51.100.7")

    problem(look(other(99), proxy, X_Forwarded_For="198.51.100.7"), 429, "too_many_failures")
    problem(look(other(99), proxy, X_Forwarded_For="198.51.100.8"), 401, "unauthenticated")
    problem(look(other(98), proxy), 401, "unauthenticated")


def test_the_log_names_address_and_prefix_and_no_secret(look: Look, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(LIMIT + 1):
        look(UNKNOWN)

    [record] = [record for record in caplog.records if getattr(record, "action", "") == "too_many_failures"]
    assert (record.address, record.prefix) == ("192.0.2.1", UNKNOWN[:15])
    assert "b" * 43 not in caplog.text
