"""The rows of an uploaded file, one at a time and never too long."""

import io

import pytest

from api.batches import lines
from api.batches.lines import csv_rows
from quire.asking.entries import SentItem


def rows(text: str) -> list[SentItem]:
    return list(csv_rows(io.BytesIO(text.encode())))


def test_rows_carry_their_lines_and_cells_may_hold_line_ends() -> None:
    found = rows('a,b\r\n1,"x\r\ny"\r\n\r\n2,z\r\n')

    assert [(row.line, dict(row.value or {})) for row in found] == [
        (2, {"a": "1", "b": "x\r\ny"}),
        (5, {"a": "2", "b": "z"}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n" + "x," * 30 + "\n",  # one line of many cells
        'a,b\n1,2\n"' + "x\n" * 30 + '",3\n',  # one cell of many lines
    ],
)
def test_a_row_that_goes_on_and_on_is_refused_with_its_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 40)

    good, bad = rows(text)

    assert good.value == {"a": "1", "b": "2"}
    assert bad.error is not None
    assert (bad.line, bad.error.detail) == (3, "The row is longer than 40 characters.")
