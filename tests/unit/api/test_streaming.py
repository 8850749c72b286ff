"""How events are written down."""

import json

from api.events import Written
from api.streaming import frames
from quire.pieces import Piece
from quire.store.chunk import Position


def test_no_reader_takes_a_character_of_a_text_for_the_end_of_a_line() -> None:
    text = "The\u2028sea\u2029is\x85grey."

    _, frame = frames([], Written(Position(1, 4), (Piece(0, (1, 2, 3, 4), text),)))

    identity, name, data, empty = frame.splitlines()
    assert (identity, name, empty) == ("id: 1:4", "event: text", "")
    assert json.loads(data.removeprefix("data: "))["pieces"][0]["text"] == text
