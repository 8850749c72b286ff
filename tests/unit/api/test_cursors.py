from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import cursor, position
from quire.errors import InvalidCursor


@given(st.uuids())
def test_a_cursor_leads_back(last: UUID) -> None:
    assert position("job", cursor("job", last)) == last


@given(st.uuids())
def test_a_cursor_of_another_list_is_refused(last: UUID) -> None:
    with pytest.raises(InvalidCursor):
        position("ten", cursor("job", last))


@given(st.text(max_size=60))
def test_anything_else_is_refused(after: str) -> None:
    with pytest.raises(InvalidCursor):
        position("job", after)


def test_no_cursor_is_the_start() -> None:
    assert position("job", None) is None
