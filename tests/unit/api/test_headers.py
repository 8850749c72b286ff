import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from api.conditional import idempotency_key
from api.prefer import wait_seconds
from quire.errors import InvalidField


def request(**headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(EnvironBuilder(headers=named).get_environ())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("WAIT = 10", 10),
        ('wait="10"', 10),
        ("respond-async, wait=10", 10),
        ("wait=10; x=y, foo", 10),
        ("foo; wait=10", 0),
        ("wait=5, wait=10", 5),
        ("wait=x, wait=10", 0),
        ("wait=9999999999", 0),
        ("wait=\u0661", 0),
        ("", 0),
    ],
)
def test_wait_is_read_as_the_rfc_has_it(header: str, seconds: int) -> None:
    assert wait_seconds(request(Prefer=header)) == seconds


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        ("a,b;c", "a,b;c"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_key_is_read_quoted_or_bare(header: str, key: str) -> None:
    assert idempotency_key(request(Idempotency_Key=header)) == key


def test_without_the_header_there_is_no_key() -> None:
    assert idempotency_key(request()) is None


@pytest.mark.parametrize("header", ["", "a b", "x" * 256, '"', '"a', "a\x7f"])
def test_another_key_is_refused(header: str) -> None:
    with pytest.raises(InvalidField) as caught:
        idempotency_key(request(Idempotency_Key=header))
    assert caught.value.fields[0].field == "Idempotency-Key"
