"""What keeps the tables small and their keys fresh."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from quire import testing
from quire.crypto import KeyRing, new_master_key
from quire.jobs import Claimed, Outcome
from quire.pieces import Entry, Logprobs, Piece, fold
from quire.store import Tenant, chunk
from quire.store.chunk import Position
from quire.store.job import State
from quire.testing import MASTER_KEYS, RING, Place
from quire.textlog import chunk_row, read
from scheduler import compaction, housekeeping
from tests.integration import steps


def pieces(place: Place, claimed: Claimed, owner: Tenant | None = None) -> list[Piece]:
    with place.database.service() as session:
        log = chunk.of_jobs(session, [claimed.id])[claimed.id]
    return fold(read(log, testing.data_key(owner or place.tenant)))


def rows(place: Place, claimed: Claimed) -> int:
    with place.database.service() as session:
        return len(chunk.of_jobs(session, [claimed.id])[claimed.id])


def told(place: Place, *texts: str, owner: Tenant | None = None) -> Claimed:
    """A succeeded job whose text was written bit by bit."""
    steps.queued(place, owner)
    (claimed,) = steps.claim(place, steps.worker(place))
    offset = 0
    for bit in texts:
        steps.commit(place, steps.report(claimed, bit, at=Position(1, offset)))
        offset += len(bit)
    steps.commit(place, steps.report(claimed, outcome=Outcome(State.SUCCEEDED, 10, offset)))
    return claimed


# ---- compaction --------------------------------------------------------------------------------------------


def test_a_finished_jobs_log_becomes_one_row_with_the_same_text(place: Place) -> None:
    claimed = told(place, "Once ", "upon ", "a time")
    before = pieces(place, claimed)

    assert compaction.compact(place.database, RING) == 1

    assert rows(place, claimed) == 1
    assert pieces(place, claimed) == before


def test_compaction_keeps_every_piece_its_finish_and_its_logprobs(place: Place) -> None:
    claimed = steps.running(place)
    key = testing.data_key(place.tenant)
    logprobs = Logprobs(["a"], [-0.5], [{"a": -0.5, "b": -1.0}])
    entries = [
        [Entry(0, (1,), "a", logprobs=logprobs), Entry(1, (2, 3), "x")],
        [Entry(1, (4,), "y"), Entry(0, (5,), "b", "stop"), Entry(1, (), "", "length")],
    ]
    written = [
        chunk_row(claimed.id, claimed.tenant_id, key, Position(1, offset), part)
        for offset, part in zip((0, 3), entries, strict=True)
    ]
    with place.database.service() as session:
        chunk.append(session, written)
    steps.succeed(place, claimed)

    compaction.compact(place.database, RING)

    assert rows(place, claimed) == 1
    assert pieces(place, claimed) == [
        Piece(0, (1, 5), "ab", "stop", logprobs),
        Piece(1, (2, 3, 4), "xy", "length"),
    ]


def test_compaction_keeps_the_end_of_the_log(place: Place) -> None:
    claimed = told(place, "Once ", "upon")

    compaction.compact(place.database, RING)

    with place.database.service() as session:
        assert chunk.ends(session, [claimed.id]) == {claimed.id: Position(1, 9)}


def test_a_running_jobs_log_is_not_compacted(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Once ", at=Position(1, 0)))
    steps.commit(place, steps.report(claimed, "upon", at=Position(1, 5)))

    assert compaction.compact(place.database, RING) == 0


def test_a_job_is_compacted_once(place: Place) -> None:
    told(place, "Once ", "upon")
    compaction.compact(place.database, RING)

    assert compaction.compact(place.database, RING) == 0


def forget_key(place: Place, owner: Tenant) -> None:
    with place.database.service() as session:
        session.execute(text("UPDATE tenants SET master_key = 'gone' WHERE id = :id"), {"id": owner.id})


def test_a_log_that_cannot_be_opened_does_not_keep_others_from_compaction(place: Place) -> None:
    locked = steps.tenant(place)
    closed, readable = told(place, "Once ", "upon", owner=locked), told(place, "Once ", "upon")
    forget_key(place, locked)

    compaction.compact(place.database, RING)

    assert (rows(place, closed), rows(place, readable)) == (2, 1)


def test_a_log_that_cannot_be_opened_is_not_tried_for_ever(place: Place) -> None:
    told(place, "Once ", "upon")
    forget_key(place, place.tenant)
    compaction.compact(place.database, RING)

    assert compaction.compact(place.database, RING) == 0


# ---- keys --------------------------------------------------------------------------------------------------


def test_after_a_rotation_data_keys_are_wrapped_by_the_new_master_key(place: Place) -> None:
    rotated = KeyRing.parse(f"{new_master_key('next')},{MASTER_KEYS}")

    assert housekeeping.rewrap_data_keys(place.database, rotated) == 1

    with place.database.service() as session:
        assert session.get_one(Tenant, place.tenant.id).master_key == "next"


def test_what_was_written_before_a_rotation_can_be_read_without_the_old_key(place: Place) -> None:
    claimed = told(place, "Once")
    new = new_master_key("next")
    housekeeping.rewrap_data_keys(place.database, KeyRing.parse(f"{new},{MASTER_KEYS}"))

    with place.database.service() as session:
        tenant = session.get_one(Tenant, place.tenant.id)
        log = chunk.of_jobs(session, [claimed.id])[claimed.id]
    key = KeyRing.parse(new).unwrap(tenant.wrapped_key, tenant.id)
    assert [entry.text for entry in read(log, key)] == ["Once"]


def test_fresh_data_keys_are_not_wrapped_again(place: Place) -> None:
    assert housekeeping.rewrap_data_keys(place.database, RING) == 0


def test_a_data_key_that_cannot_be_opened_does_not_keep_others_from_rotation(place: Place) -> None:
    forget_key(place, steps.tenant(place))
    rotated = KeyRing.parse(f"{new_master_key('next')},{MASTER_KEYS}")

    assert housekeeping.rewrap_data_keys(place.database, rotated) == 1


# ---- partitions --------------------------------------------------------------------------------------------


def partitions(place: Place) -> set[str]:
    query = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'chunks'::regclass")
    with place.database.service() as session:
        return set(session.scalars(query))


def test_this_weeks_partition_and_the_next_two_are_made(place: Place) -> None:
    assert housekeeping.make_partitions(place.database) == 3

    claimed = told(place, "Once")
    assert len(partitions(place)) == 4
    with place.database.service() as session:
        default = session.scalar(text("SELECT count(*) FROM chunks WHERE tableoid = 'chunks_default'::regclass"))
    assert default == 0
    assert rows(place, claimed) == 1


def test_partitions_that_are_there_are_not_made_again(place: Place) -> None:
    housekeeping.make_partitions(place.database)

    assert housekeeping.make_partitions(place.database) == 0


def test_a_week_that_cannot_be_made_does_not_keep_the_next_from_being_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = chunk.make_partition
    this_week = datetime.now(UTC) + timedelta(days=1)

    def refuse_this_week(session: Session, moment: datetime) -> bool:
        return make(session, moment) if moment > this_week else session.scalar(text("SELECT 1 / 0"))

    monkeypatch.setattr(chunk, "make_partition", refuse_this_week)

    with pytest.raises(DataError, match="division by zero"):
        housekeeping.make_partitions(place.database)

    assert len(partitions(place)) == 3
