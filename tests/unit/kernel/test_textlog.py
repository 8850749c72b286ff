"""Entries, the pieces they fold into, and the sealed rows they are kept in."""

import json
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.crypto import DataKey
from quire.errors import UndecryptableError
from quire.pieces import Entry, Logprobs, Piece, as_entries, fold
from quire.store import Chunk
from quire.store.chunk import Position
from quire.textlog import chunk_row, read

KEY = DataKey(bytes(32))
JOB, TENANT = UUID(int=1), UUID(int=2)
FLOATS = st.floats(max_value=0, allow_nan=False)
TOPS = st.dictionaries(st.text(max_size=2), FLOATS, max_size=2)


def logprobs(tokens: list[str]) -> st.SearchStrategy[Logprobs]:
    return st.builds(
        Logprobs,
        st.just(tokens),
        st.lists(FLOATS, min_size=len(tokens), max_size=len(tokens)),
        st.lists(TOPS, min_size=len(tokens), max_size=len(tokens)),
    )


ENTRIES = st.lists(
    st.builds(
        Entry,
        piece=st.integers(0, 3),
        ids=st.lists(st.integers(0, 50_256), max_size=3).map(tuple),
        text=st.text(max_size=4),
        finish=st.none() | st.sampled_from(["stop", "length"]),
        logprobs=st.none() | st.lists(st.text(max_size=2), min_size=1, max_size=2).flatmap(logprobs),
    ),
    max_size=8,
)


def stored(entries: list[Entry], offset: int = 0) -> Chunk:
    return Chunk(**chunk_row(JOB, TENANT, KEY, Position(1, offset), entries))


# ---- folding -----------------------------------------------------------------------------------------------


@given(ENTRIES)
def test_folding_keeps_each_pieces_ids_and_text_in_order(entries: list[Entry]) -> None:
    for piece in fold(entries):
        own = [entry for entry in entries if entry.piece == piece.index]
        assert piece.ids == tuple(token for entry in own for token in entry.ids)
        assert piece.text == "".join(entry.text for entry in own)


@given(ENTRIES)
def test_folding_gives_one_piece_for_each_index_in_order(entries: list[Entry]) -> None:
    assert [piece.index for piece in fold(entries)] == sorted({entry.piece for entry in entries})


@given(ENTRIES)
def test_folding_keeps_all_logprobs(entries: list[Entry]) -> None:
    for piece in fold(entries):
        own = [entry.logprobs for entry in entries if entry.piece == piece.index and entry.logprobs]
        kept = piece.logprobs or Logprobs()
        assert kept.tokens == [token for part in own for token in part.tokens]
        assert kept.token_logprobs == [value for part in own for value in part.token_logprobs]
        assert kept.top_logprobs == [top for part in own for top in part.top_logprobs]


@given(ENTRIES)
def test_the_last_finish_counts(entries: list[Entry]) -> None:
    for piece in fold(entries):
        own = [entry.finish for entry in entries if entry.piece == piece.index and entry.finish]
        assert piece.finish == (own[-1] if own else None)


@given(ENTRIES)
def test_the_shortest_log_folds_into_the_same_pieces(entries: list[Entry]) -> None:
    pieces = fold(entries)

    assert fold(as_entries(pieces)) == pieces
    assert len(as_entries(pieces)) == len(pieces)


@given(ENTRIES, st.integers(0, 8))
def test_a_log_may_be_folded_in_parts(entries: list[Entry], cut: int) -> None:
    # As a writer does between two flushes, and a compaction at the end.
    parts = as_entries(fold(entries[:cut])) + as_entries(fold(entries[cut:]))

    assert fold(parts) == fold(entries)


def test_a_piece_without_logprobs_has_none() -> None:
    assert fold([Entry(0, (1,), "a")]) == [Piece(0, (1,), "a")]


# ---- rows --------------------------------------------------------------------------------------------------


@given(ENTRIES)
def test_what_is_written_can_be_read_back(entries: list[Entry]) -> None:
    assert read([stored(entries)], KEY) == entries


@given(ENTRIES, st.integers(0, 8))
def test_rows_are_read_one_after_the_other(entries: list[Entry], cut: int) -> None:
    first = stored(entries[:cut])
    second = stored(entries[cut:], first.tokens)

    assert read([first, second], KEY) == entries


@given(ENTRIES)
def test_a_row_counts_the_tokens_of_all_its_pieces(entries: list[Entry]) -> None:
    assert stored(entries).tokens == sum(len(entry.ids) for entry in entries)


def test_a_row_does_not_show_its_text() -> None:
    assert b"heron" not in stored([Entry(0, (1,), "heron")]).body


@pytest.mark.parametrize(
    "moved",
    [{"job_id": UUID(int=3)}, {"revision": 2}, {"offset": 1}],
    ids=lambda moved: next(iter(moved)),
)
def test_a_row_does_not_open_at_another_place(moved: dict[str, object]) -> None:
    row = chunk_row(JOB, TENANT, KEY, Position(1, 0), [Entry(0, (1,), "a")])

    with pytest.raises(UndecryptableError):
        read([Chunk(**row | moved)], KEY)


def test_a_row_does_not_open_with_another_tenants_key() -> None:
    with pytest.raises(UndecryptableError):
        read([stored([Entry(0, (1,), "a")])], DataKey(bytes(31) + b"1"))


def test_what_an_entry_lacks_is_left_out_of_its_row() -> None:
    body = KEY.open(stored([Entry(0, (1,), "a")]).body, f"log:{JOB}:1:0")

    assert json.loads(body) == [{"piece": 0, "ids": [1], "text": "a"}]


def test_an_entry_without_a_finish_does_not_undo_one() -> None:
    done = Entry(0, (1,), "a", finish="stop")

    assert fold([done, replace(done, finish=None)])[0].finish == "stop"
