import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.body import MAX_DEPTH, canonical, parse
from quire.errors import InvalidJSON

texts = st.text(st.characters(codec=None, categories=None), max_size=20)
whole = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(whole, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(whole, values, max_size=5))
def test_what_was_written_is_read(value: dict[str, object]) -> None:
    assert parse(json.dumps(value).encode()) == value


@given(st.dictionaries(whole, values, max_size=5))
def test_the_order_of_keys_and_blanks_make_no_other_body(value: dict[str, object]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical(parse(json.dumps(backwards, indent=2).encode())) == canonical(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert isinstance(parse(data), dict)
    except InvalidJSON:
        return


def test_other_values_make_another_body() -> None:
    bodies = [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": "1"}, {"n": None}, {}]
    assert len({canonical(body) for body in bodies}) == len(bodies)


@pytest.mark.parametrize(("depth", "accepted"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (10_000, False)])
def test_depth_is_bounded(depth: int, accepted: bool) -> None:
    data = b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    if accepted:
        assert set(parse(data)) == {"a"}
    else:
        with pytest.raises(InvalidJSON):
            parse(data)


def test_an_error_says_where() -> None:
    with pytest.raises(InvalidJSON, match=r"line 2, column 3"):
        parse(b'{"a": 1,\n  b}')
