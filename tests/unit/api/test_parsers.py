"""Whatever is sent, each parser of the API gives a value within its bounds, or the one error it names."""

import base64
from uuid import UUID

from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from api import cursors
from api.auth import KEY, _bearer
from api.body import canonical, parse
from api.conditional import idempotency_key, still_holds
from api.prefer import wait_seconds
from quire import ids
from quire.errors import InvalidCursor, InvalidField, InvalidJSON

# What a header may hold on the wire: Latin-1 without line ends.
headers = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=300)
anything = st.text(st.characters(codec=None, categories=None), max_size=80)


def request(**sent: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in sent.items()}
    return Request(EnvironBuilder(headers=named).get_environ())


@given(headers | st.builds("{} {}".format, st.sampled_from(["Bearer", "bearer", "Basic", "BEARER "]), headers))
def test_any_authorization_header_gives_a_string(header: str) -> None:
    token = _bearer(request(Authorization=header))

    assert token in header
    if match := KEY.fullmatch(token):
        assert match[1] == token[:15]


@given(headers | st.builds("wait={}".format, st.integers() | headers) | st.builds("{}, wait=5".format, headers))
def test_any_prefer_header_gives_whole_seconds(header: str) -> None:
    assert 0 <= wait_seconds(request(Prefer=header)) <= 999_999_999


@given(headers | headers.map('"{}"'.format))
def test_any_idempotency_key_is_visible_ascii_or_refused(header: str) -> None:
    try:
        key = idempotency_key(request(Idempotency_Key=header))
    except InvalidField:
        return
    assert key is not None
    assert 1 <= len(key) <= 255
    assert all(33 <= ord(character) <= 126 for character in key)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=120))
def test_an_idempotency_key_is_the_same_quoted_and_bare(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert idempotency_key(request(Idempotency_Key=quoted)) == key
    if not key.startswith('"'):
        assert idempotency_key(request(Idempotency_Key=key)) == key


@given(headers | st.builds('W/"{}"'.format, headers) | headers.map('"a", "{}"'.format))
def test_any_if_none_match_holds_or_not(header: str) -> None:
    assert still_holds(request(If_None_Match=header), "0" * 32) in {True, False}


@given(anything)
def test_any_cursor_is_an_id_or_refused(text: str) -> None:
    for prefix in (ids.JOB, ids.TENANT, ids.KEY):
        try:
            found = cursors.position(prefix, text)
        except InvalidCursor:
            continue
        assert isinstance(found, UUID)
        assert cursors.cursor(prefix, found) == text


@given(st.uuids())
def test_a_cursor_goes_there_and_back_and_fits_no_other_list(last: UUID) -> None:
    written = cursors.cursor(ids.JOB, last)

    assert cursors.position(ids.JOB, written) == last
    try:
        cursors.position(ids.TENANT, written)
    except InvalidCursor:
        return
    raise AssertionError("a cursor of jobs was taken for one of tenants")


@given(anything | st.uuids().map(str) | st.uuids().map(lambda value: f"job_{value.hex}"))
def test_any_id_has_one_name_or_none(text: str) -> None:
    found = ids.parse(ids.JOB, text)

    assert found is None or ids.show(ids.JOB, found) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(anything, inner, max_size=4),
    max_leaves=10,
)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        value = parse(data)
    except InvalidJSON:
        return
    assert parse(canonical(value)) == value


@given(st.dictionaries(st.text(max_size=10), json_values, max_size=5))
def test_an_object_keeps_its_meaning_and_has_one_canonical_form(value: dict[str, object]) -> None:
    try:
        read = parse(canonical(value))
    except InvalidJSON:  # a key with half a surrogate pair, a number or a depth beyond what is taken
        return
    assert canonical(read) == canonical(value)
    assert canonical(dict(reversed(read.items()))) == canonical(read)


@given(st.integers(17, 3000))
def test_a_body_nested_too_deeply_is_refused(depth: int) -> None:
    try:
        parse(b'{"a":' * depth + b"1" + b"}" * depth)
    except InvalidJSON:
        return
    raise AssertionError("taken")


@given(st.binary(max_size=60))
def test_base64_of_anything_is_no_cursor(data: bytes) -> None:
    text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    try:
        found = cursors.position(ids.JOB, text)
    except InvalidCursor:
        return
    assert found is not None
    assert data == ids.show(ids.JOB, found).encode()
