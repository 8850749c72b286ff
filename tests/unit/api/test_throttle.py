from dataclasses import dataclass

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from api.throttle import Failures, client_address


@dataclass
class Clock:
    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


def request(address: str, forwarded: str | None = None) -> Request:
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    builder = EnvironBuilder(headers=headers, environ_base={"REMOTE_ADDR": address})
    return Request(builder.get_environ())


def test_as_many_failures_as_the_limit_are_borne() -> None:
    failures = Failures(2, clock=Clock())

    assert [failures.note("a") for _ in range(3)] == [None, None, 60]


def test_the_wait_is_what_is_left_of_the_minute() -> None:
    clock = Clock()
    failures = Failures(1, clock=clock)
    failures.note("a")
    clock.time += 45.5

    assert failures.note("a") == 15


def test_after_a_minute_the_count_begins_anew() -> None:
    clock = Clock()
    failures = Failures(1, clock=clock)
    failures.note("a")
    clock.time += 60

    assert failures.note("a") is None


def test_names_are_counted_apart_and_the_longest_wait_is_told() -> None:
    clock = Clock()
    failures = Failures(1, clock=clock)
    failures.note("a")
    clock.time += 10
    failures.note("b")

    assert failures.note("c") is None
    assert failures.note("a", "b") == 60
    assert failures.note("a") == 50


def test_memory_is_bounded_and_the_longest_unseen_goes_first() -> None:
    failures = Failures(1, most=3, clock=Clock())
    for name in ("a", "b", "c", "a", "d"):
        failures.note(name)

    assert len(failures) == 3
    assert failures.note("b") is None  # forgotten
    assert failures.note("a") is not None


@given(st.lists(st.text(max_size=5), max_size=200), st.integers(1, 20))
def test_whatever_is_noted_memory_stays_within_its_bound(names: list[str], most: int) -> None:
    failures = Failures(1, most=most, clock=Clock())
    for name in names:
        failures.note(name, name + "2")

    assert len(failures) <= most


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:51234", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_an_address_stands_for_the_network_of_one_customer(address: str, site: str) -> None:
    assert client_address(request(address), 0) == site


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "198.51.100.1", "10.0.0.1"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "198.51.100.1", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, None, "10.0.0.1"),
        (1, "[2001:db8::1]:443", "2001:db8::/64"),
    ],
)
def test_only_what_own_proxies_wrote_is_believed(proxies: int, forwarded: str | None, expected: str) -> None:
    assert client_address(request("10.0.0.1", forwarded), proxies) == expected


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=100), st.integers(0, 3))
def test_any_header_gives_some_address(forwarded: str, proxies: int) -> None:
    assert len(client_address(request("10.0.0.1", forwarded), proxies)) <= 64
