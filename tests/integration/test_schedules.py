"""Schedules in the database: fired once, made once, after their policies, whatever dies or steps back."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from quire import ids, testing
from quire.asking.drafting import Catalogue
from quire.asking.tokenizing import Tokenizers
from quire.batches import Limits, taking
from quire.schedules import firing, making, planning
from quire.schedules.making import Maker, Slices
from quire.schedules.target import Target
from quire.schedules.timing import Timing
from quire.spec import Spec
from quire.store import Batch, BatchItem, Endpoint, Event, Occurrence, Schedule, ScheduleVersion, Tenant
from quire.store.base import now
from quire.store.batch import BatchState
from quire.store.schedule import OccurrenceState
from quire.testing import MODEL, RING, Place
from scheduler import housekeeping
from scheduler.batching import Batching
from scheduler.loop import Duty, Loop
from tests.integration import steps
from tests.waiting import in_background

MINUTE = timedelta(minutes=1)
TEMPLATE = {"prompt": "On {{date}} number {{number}}", "max_tokens": 8}


def add(place: Place, target: Target | None = None, owner: Tenant | None = None, **columns: Any) -> UUID:
    """A schedule of every minute, the next of which is due now."""
    owner, made = owner or place.tenant, ids.new_id()
    with place.database.service() as session:
        moment = now(session).replace(second=0, microsecond=0)
        body = (target or Target(template=TEMPLATE)).encode()
        fields: dict[str, Any] = {
            "kind": "cron", "expression": "* * * * *", "zone": "UTC", "starts_at": moment - timedelta(days=30),
            "catch_up": "once", "catch_up_most": 3, "overlap": "queue", "jitter_seconds": 0, "publish_by": False,
            "next_at": moment, "fire_at": moment,
        }  # fmt: skip
        session.add(
            Schedule(
                id=made,
                tenant_id=owner.id,
                name="s",
                body=testing.data_key(owner).seal(body, making.place(made)),
                **fields | columns,
            )
        )
    return made


def fire(place: Place) -> int:
    with place.database.service() as session:
        return firing.fire(session)


def maker(place: Place) -> Maker:
    catalogue = Catalogue(Tokenizers(), configured=(MODEL,), default_model=MODEL)
    return Maker(place.database, RING, catalogue, Limits(1_000, 100))


def whole(slices: Slices) -> bool:
    """Make all slices of an occurrence's batch."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return bool(end.value)


def make(place: Place) -> int:
    return maker(place).run(20)


def occurrences(place: Place, state: OccurrenceState | None = None) -> list[Occurrence]:
    wanted = select(Occurrence).order_by(Occurrence.schedule_id, Occurrence.moment)
    with place.database.service() as session:
        return list(session.scalars(wanted if state is None else wanted.where(Occurrence.state == state)))


def count(place: Place, table: Any) -> int:
    with place.database.service() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def look_again(place: Place) -> None:
    """Let those that wait be due."""
    with place.database.service() as session:
        session.execute(update(Occurrence).values(look_at=now(session)).where(Occurrence.state == "due"))


def missed(minutes: int) -> dict[str, datetime]:
    """The columns of a schedule that nobody has looked at for so long."""
    moment = datetime.now(UTC).replace(second=0, microsecond=0) - minutes * MINUTE
    return {"next_at": moment, "fire_at": moment}


def prompts(place: Place, batch: UUID) -> list[tuple[str, int]]:
    """The prompts of a batch's items, and their seeds."""
    key = testing.data_key(place.tenant)
    with place.database.service() as session:
        row = session.get_one(Batch, batch)
        items = session.scalars(select(BatchItem).where(BatchItem.batch_id == batch).order_by(BatchItem.number))
        return [
            (Spec.decode(key.open(item.body or b"", f"job:{row.job(item.number)}")).input.prompt, item.seed or 0)
            for item in items
        ]


def test_what_is_due_fires_once_and_has_one_batch(place: Place) -> None:
    schedule = add(place)

    assert (fire(place), fire(place)) == (1, 0)
    assert (make(place), make(place)) == (1, 0)

    [row] = occurrences(place)
    assert (row.state, row.number) == (OccurrenceState.STARTED, 1)
    with place.database.service() as session:
        [batch] = session.scalars(select(Batch)).all()
        after = session.get_one(Schedule, schedule)
    assert (batch.id, batch.schedule_id, batch.state) == (row.batch_id, schedule, BatchState.RUNNING)
    assert after.next_at == row.moment + MINUTE
    [(prompt, seed)] = prompts(place, batch.id)
    assert prompt == f"On {row.moment:%Y-%m-%d} number 1"
    assert seed == firing.seed_of(schedule, row.moment, 0)


def test_many_schedulers_fire_and_make_each_once(place: Place) -> None:
    schedules = {add(place) for _ in range(30)}

    fired = [in_background(fire, place) for _ in range(4)]
    assert sum(each.result(30) for each in fired) == 30
    made = [in_background(maker(place).run, 30) for _ in range(3)]
    assert sum(each.result(60) for each in made) == 30

    assert {row.schedule_id for row in occurrences(place, OccurrenceState.STARTED)} == schedules
    assert count(place, Batch) == 30


def test_an_occurrence_whose_scheduler_died_in_the_middle_gets_one_batch(place: Place) -> None:
    add(place)
    fire(place)
    [row] = occurrences(place)
    key = (row.schedule_id, row.moment)
    slow, reached, go = maker(place), threading.Event(), threading.Event()
    items = slow._items

    def stopped(*arguments: Any) -> Any:
        reached.set()
        assert go.wait(30)
        return items(*arguments)

    slow._items = stopped  # type: ignore[method-assign]
    zombie = in_background(whole, slow.make(key))
    assert reached.wait(30)

    assert whole(maker(place).make(key))  # another, when the lease is over
    go.set()

    assert zombie.result(30) is False
    assert count(place, Batch) == 1
    assert count(place, BatchItem) == 1


@pytest.mark.parametrize(("policy", "fired", "skipped"), [("skip", 1, 5), ("once", 1, 5), ("all", 4, 2)])
def test_what_was_missed_is_caught_up_after_the_policy(
    place: Place, policy: str, fired: int, skipped: int
) -> None:
    add(place, catch_up=policy, **missed(5))

    fire(place)

    states = [row.state for row in occurrences(place)]
    # The present minute may be a missed one by now: then it is not fired beside the others.
    assert states.count(OccurrenceState.DUE) in {fired, fired - 1}
    assert len(states) in {fired + skipped, fired + skipped + 1}
    assert states == sorted(states, key=[OccurrenceState.SKIPPED, OccurrenceState.DUE].index)


def test_one_that_was_missed_alone_is_run_once(place: Place) -> None:
    hours = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
    at = {"kind": "at", "expression": hours.isoformat(), "next_at": hours, "fire_at": hours}
    add(place, catch_up="once", **at)
    add(place, catch_up="skip", **at)

    fire(place)

    assert sorted(row.state for row in occurrences(place)) == ["due", "skipped"]
    with place.database.service() as session:
        assert session.scalars(select(Schedule.next_at)).all() == [None, None]


def test_a_clock_that_steps_back_fires_nothing_twice(place: Place) -> None:
    schedule = add(place)
    fire(place)
    with place.database.service() as session:  # as if the next moment were to come once more
        row = session.get_one(Schedule, schedule)
        row.next_at = row.fire_at = occurrences(place)[0].moment
    assert fire(place) == 0  # tried, and found to be there

    assert len(occurrences(place)) == 1
    with place.database.service() as session:
        assert session.get_one(Schedule, schedule).fired == 1


def test_a_batch_that_runs_is_waited_for(place: Place) -> None:
    schedule = add(place)
    fire(place)
    make(place)
    with place.database.service() as session:
        firing.run_now(session, session.get_one(Schedule, schedule))
    assert make(place) == 0
    assert [row.why for row in occurrences(place, OccurrenceState.DUE)] == ["the batch before runs"]

    worker = steps.worker(place)
    Batching(place.database, window=8).run()
    for job in steps.claim(place, worker):
        steps.succeed(place, job, "Done")
    Batching(place.database, window=8).run()
    look_again(place)

    assert make(place) == 1
    assert [row.number for row in occurrences(place, OccurrenceState.STARTED)] == [1, 2]


@pytest.mark.parametrize(
    ("overlap", "states", "batches"),
    [("skip", ["started", "skipped"], ["running"]), ("cancel", ["started", "started"], ["cancelled", "running"])],
)
def test_a_batch_that_runs_is_left_or_cancelled(
    place: Place, overlap: str, states: list[str], batches: list[str]
) -> None:
    schedule = add(place, overlap=overlap)
    fire(place)
    make(place)
    with place.database.service() as session:
        firing.run_now(session, session.get_one(Schedule, schedule))

    make(place)

    assert [row.state for row in occurrences(place)] == states
    with place.database.service() as session:
        assert session.scalars(select(Batch.state).order_by(Batch.id)).all() == batches


def test_rows_come_in_rotation_and_each_item_has_its_seed(place: Place) -> None:
    target = Target(
        template={"prompt": "{{name}}", "max_tokens": 4}, rows=[{"name": n} for n in "abc"], rows_per_run=2
    )
    schedule = add(place, target, overlap="cancel")
    fire(place)
    make(place)
    with place.database.service() as session:
        firing.run_now(session, session.get_one(Schedule, schedule))
    make(place)

    first, second = (prompts(place, row.batch_id) for row in occurrences(place) if row.batch_id)

    assert [text for text, _ in first] == ["a", "b"]
    assert len({seed for _, seed in first}) == 2
    assert [text for text, _ in second] in (
        ["c", "a"],
        [],
    )  # the first batch's bodies are kept, being cancelled unfed


def test_a_template_that_has_become_wrong_fails_its_occurrence_and_says_so(place: Place) -> None:
    add(place, Target(template={"prompt": "x", "max_tokens": 100_000}))
    fire(place)

    assert make(place) == 1

    [row] = occurrences(place)
    assert (row.state, "max_tokens" in (row.why or "")) == (OccurrenceState.FAILED, True)
    assert count(place, Batch) == 0


def test_a_model_that_is_not_there_yet_is_waited_for(place: Place) -> None:
    add(place, Target(template={"prompt": "x", "kind": "music", "style": "jig"} | {"prompt": None}))
    fire(place)

    assert make(place) == 0

    [row] = occurrences(place)
    assert row.state in {OccurrenceState.DUE, OccurrenceState.FAILED}
    assert row.why


def test_nothing_fires_while_paused_and_nothing_is_made_good_after(place: Place) -> None:
    schedule = add(place, paused=True, **missed(10))
    assert fire(place) == 0

    with place.database.service() as session:
        firing.resume(session, session.get_one(Schedule, schedule))

    assert fire(place) == 0
    with place.database.service() as session:
        row = session.get_one(Schedule, schedule)
        assert row.next_at is not None
        assert row.next_at > now(session)


def test_jitter_puts_off_and_follows_from_the_moment(place: Place) -> None:
    schedule = add(place, jitter_seconds=3600)
    with place.database.service() as session:
        row = session.get_one(Schedule, schedule)
        moments = [row.starts_at + n * MINUTE for n in range(50)]
        delays = [(firing.acted_at(row, each) - each).total_seconds() for each in moments]
        again = [(firing.acted_at(row, each) - each).total_seconds() for each in moments]

    assert delays == again
    assert all(0 <= delay <= 3600 for delay in delays)
    assert len(set(delays)) > 40


def test_jitter_longer_than_the_period_loses_no_moment(place: Place) -> None:
    schedule = add(place, jitter_seconds=3600)
    with place.database.service() as session:
        row = session.get_one(Schedule, schedule)
        begin = row.next_at or now(session)
        fired: list[datetime] = []
        for second in range(0, 3 * 3600, 30):  # as the duty would look at it
            moment = begin + timedelta(seconds=second)
            if row.fire_at is not None and row.fire_at <= moment:
                due = firing.due_of(row, moment)
                assert not due.skipped
                fired += due.fired
                row.next_at = due.following
                row.fire_at = firing.acted_at(row, due.following) if due.following else None
        session.rollback()

    assert fired == [begin + n * MINUTE for n in range(len(fired))]
    assert len(fired) >= 120  # of three hours, the last of which may be put off as a whole


def test_a_schedule_that_is_due_once_is_planned_with_one_look_at_its_series(place: Place) -> None:
    add(place)
    with place.database.service() as session:
        row = session.scalars(select(Schedule)).one()
        moment = (row.next_at or now(session)) + timedelta(seconds=1)
        series = [0]
        after = Timing.after

        def counted(timing: Timing, begin: datetime) -> Iterator[datetime]:
            series[0] += 1
            return after(timing, begin)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Timing, "after", counted)
            firing.due_of(row, moment)

    assert series == [1]  # most of what firing costs


def test_publishing_by_a_time_starts_as_early_as_the_last_batches_took(place: Place) -> None:
    tomorrow = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=20)
    schedule = add(place, publish_by=True, expression="0 * * * *", next_at=tomorrow, fire_at=tomorrow)
    moment = datetime.now(UTC)
    with place.database.service() as session:
        session.add(
            Batch(
                id=ids.new_id(),
                tenant_id=place.tenant.id,
                schedule_id=schedule,
                first_job=ids.new_id(),
                priority=0,
                state=BatchState.COMPLETED,
                created_at=moment - timedelta(seconds=400),
                finished_at=moment,
            )
        )
    with place.database.service() as session:
        assert planning.replan(session) == 1
        row = session.get_one(Schedule, schedule)

    assert row.lead_seconds == 500
    assert row.fire_at == tomorrow - timedelta(seconds=500)


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.EXPIRED])
def test_what_takes_longer_than_a_day_starts_a_day_early_and_is_told_as_late(
    place: Place, state: BatchState
) -> None:
    there = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=30)
    schedule = add(place, publish_by=True, expression="0 0 * * *", next_at=there, fire_at=there)
    moment = datetime.now(UTC)
    with place.database.service() as session:
        session.add(
            Batch(
                id=ids.new_id(),
                tenant_id=place.tenant.id,
                schedule_id=schedule,
                first_job=ids.new_id(),
                priority=0,
                state=state,
                created_at=moment - timedelta(hours=40),
                finished_at=moment,
            )
        )
    with place.database.service() as session:
        planning.replan(session)
        row = session.get_one(Schedule, schedule)

        assert row.lead_seconds == 50 * 3600
        assert row.fire_at == there - timedelta(days=1)
        assert firing.is_late(row, there, row.fire_at)


def test_an_occurrence_says_which_version_its_batch_was_made_after(place: Place) -> None:
    schedule = add(place)
    fire(place)
    with place.database.service() as session:
        session.get_one(Schedule, schedule).version = 2

    make(place)

    assert [row.version for row in occurrences(place, OccurrenceState.STARTED)] == [2]


def test_one_that_fails_beyond_what_was_thought_of_keeps_no_other_from_its_batch(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = add(place), add(place)
    fire(place)
    real = Maker.make

    def broken(self: Maker, key: tuple[UUID, datetime]) -> Slices:
        if key[0] == bad:
            raise ZeroDivisionError
        return (yield from real(self, key))

    monkeypatch.setattr(Maker, "make", broken)

    assert make(place) == 1

    told = {row.schedule_id: (row.state, row.why) for row in occurrences(place)}
    assert told[good] == (OccurrenceState.STARTED, None)
    assert told[bad][0] is OccurrenceState.DUE
    assert "log" in (told[bad][1] or "")


def test_a_round_takes_no_more_once_its_time_is_over(place: Place) -> None:
    add(place)
    fire(place)

    assert maker(place).run(0) == 0

    with place.database.service() as session:
        assert (session.scalars(select(Occurrence.look_at)).one() or now(session)) <= now(session)  # not put off


FIVE = Target(template={"prompt": "{{title}}", "max_tokens": 8}, rows=[{"title": f"Title {n}"} for n in range(5)])


@pytest.fixture
def in_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices are of two items."""
    monkeypatch.setattr(taking, "PIECE", 2)


def make_slice(place: Place, sliced: Maker) -> None:
    before = count(place, BatchItem)
    while count(place, BatchItem) == before:
        sliced.run(0.001)  # less than a slice takes, but enough to begin one


@pytest.mark.usefixtures("in_twos")
def test_other_duties_run_between_the_slices_of_a_large_batch(place: Place) -> None:
    add(place, FIVE)
    fire(place)
    sliced, seen = maker(place), []

    def look() -> int:
        with place.database.service() as session:
            seen.append((session.scalar(select(Batch.state)), count(place, BatchItem)))
        return 0

    loop = Loop([Duty("make", 0, lambda: sliced.run(0.001)), Duty("look", 0, look)])
    while not occurrences(place, OccurrenceState.STARTED):
        loop.step()

    received = [(BatchState.RECEIVING, number) for number in (2, 4)]
    assert [each for each in dict.fromkeys(seen) if each != (None, 0)] == [*received, (BatchState.RUNNING, 5)]


@pytest.mark.usefixtures("in_twos")
def test_each_slice_makes_the_lease_longer(place: Place) -> None:
    add(place, FIVE)
    fire(place)
    with closing(maker(place)) as sliced:
        make_slice(place, sliced)
        look_again(place)
        make_slice(place, sliced)

        [row] = occurrences(place)
        with place.database.service() as session:
            assert row.look_at is not None
            assert row.look_at > now(session) + making.LEASE / 2


@pytest.mark.usefixtures("in_twos")
def test_a_scheduler_that_stops_leaves_what_it_has_begun_to_others_at_once(place: Place) -> None:
    add(place, FIVE)
    fire(place)
    stopped = maker(place)
    make_slice(place, stopped)
    assert count(place, BatchItem) == 2

    stopped.close()

    assert (count(place, Batch), count(place, BatchItem)) == (0, 0)
    assert make(place) == 1
    assert (count(place, Batch), count(place, BatchItem)) == (1, 5)


@pytest.mark.usefixtures("in_twos")
def test_a_row_that_is_wrong_in_a_later_slice_fails_the_whole(place: Place) -> None:
    rows = [{"title": "Title"}, {"title": "Title"}, {"title": ""}, {"title": "Title"}]
    add(place, Target(template=FIVE.template, rows=rows))
    fire(place)

    assert make(place) == 1

    [row] = occurrences(place, OccurrenceState.FAILED)
    assert "rows.2" in (row.why or "")
    assert (count(place, Batch), count(place, BatchItem)) == (0, 0)


def test_old_occurrences_and_versions_go_and_what_waits_stays(place: Place) -> None:
    schedule = add(place, catch_up="all", **missed(2))
    fire(place)
    with place.database.service() as session:
        first, *_ = session.scalars(select(Occurrence).order_by(Occurrence.moment))
        first.state, first.look_at = OccurrenceState.SKIPPED, None
        session.execute(update(Occurrence).values(moment=Occurrence.moment - timedelta(days=31)))
        for version in (1, 2, 3):
            made = now(session) - timedelta(days=80 - 20 * version)
            owner = place.tenant.id
            session.add(
                ScheduleVersion(schedule_id=schedule, version=version, tenant_id=owner, body=b"", created_at=made)
            )

    assert housekeeping.forget_occurrences(place.database, 30) == 2

    assert {row.state for row in occurrences(place)} == {OccurrenceState.DUE}
    with place.database.service() as session:
        assert session.scalars(select(ScheduleVersion.version).order_by("version")).all() == [2, 3]


def test_what_cannot_be_published_in_time_starts_at_once_and_is_told(place: Place) -> None:
    with place.database.tenant(place.tenant.id) as session:
        session.add(
            Endpoint(
                id=ids.new_id(), tenant_id=place.tenant.id, url="https://a.example/", events=["*"], secret=b""
            )
        )
    soon = datetime.now(UTC).replace(second=0, microsecond=0) + 2 * MINUTE
    add(place, publish_by=True, lead_seconds=600, next_at=soon, fire_at=soon - timedelta(seconds=600))

    fire(place)

    assert [row.late for row in occurrences(place, OccurrenceState.DUE)][:1] == [True]
    with place.database.service() as session:
        assert "schedule.late" in session.scalars(select(Event.type)).all()


def test_the_same_moment_gives_the_same_seeds(place: Place) -> None:
    schedule, other = ids.new_id(), ids.new_id()
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    assert firing.seed_of(schedule, moment, 0) == firing.seed_of(schedule, moment.astimezone(UTC), 0)
    assert len({firing.seed_of(schedule, moment, 0), firing.seed_of(schedule, moment, 1),
                firing.seed_of(other, moment, 0), firing.seed_of(schedule, moment + MINUTE, 0)}) == 4  # fmt: skip
    assert 0 <= firing.seed_of(schedule, moment, 0) < 2**53
