"""What keeps a job waiting, decided from what is seen of its lane and its model."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quire import standing
from quire.ids import new_id
from quire.standing import Blocker
from quire.store import Forecast, Job, Lane, LaneForecast, Tenant
from quire.store.job import Hold, State
from quire.store.waiting import EXACT, Ahead, View

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = Ahead(0, 0)


def job(**columns: Any) -> Job:
    values = {"id": new_id(), "seq": 500, "state": State.QUEUED, "hold": Hold.NONE, "priority": 0, "estimate": 100}
    return Job(**values | columns)


def forecast(**columns: Any) -> Forecast:
    """Four slots, all busy, 10 tokens a second each, jobs of 100; 300 tokens of others from virtual time 0 on."""
    values: dict[str, Any] = {
        "slots": 4, "running": 4, "unfinished": 200.0, "utilisation": 1.0, "tags": [0.0, 100.0],
        "works": [0.0, 300.0], "done_jobs": 10.0, "done_work": 1000.0, "done_square": 100_000.0,
        "done_estimate": 1000.0, "done_seconds": 100.0, "stretch_p50": [], "stretch_p90": [],
    }  # fmt: skip
    return Forecast(**values | columns)


def view(
    *,
    known: Forecast | None = None,
    counted: LaneForecast | None = None,
    age: float | None = 0.0,
    live_slots: int = 4,
    live_running: int = 4,
    paused: bool = False,
    max_running: int | None = None,
    running: int = 0,
    virtual_time: float = 0.0,
) -> View:
    tenant = Tenant(id=new_id(), weight=1.0, paused=paused, max_running=max_running)
    lane = Lane(virtual_time=virtual_time, outstanding=0, running=running)
    return View(NOW, tenant, lane, counted, known or forecast(), age, live_slots, live_running)


def counted_lane(**columns: Any) -> LaneForecast:
    values: dict[str, Any] = {"jobs": 10_000, "work": 1_000_000, "first_seq": 0, "last_seq": 10_000,
                              "done_work": 0.0, "done_estimate": 0.0}  # fmt: skip
    return LaneForecast(**values | columns)


def test_a_job_held_for_its_time_says_so() -> None:
    assert standing.held_by(job(hold=Hold.NOT_BEFORE)) is Blocker.NOT_BEFORE
    assert standing.held_by(job()) is None
    assert standing.held_by(job(hold=Hold.NOT_BEFORE, state=State.CANCELLED)) is None


@pytest.mark.parametrize(
    ("seen", "blocker"),
    [
        (view(paused=True, live_slots=0, max_running=1, running=1), Blocker.PAUSED),
        (view(live_slots=0, max_running=1, running=1), Blocker.NO_WORKER),
        (view(max_running=1, running=1, virtual_time=100.0), Blocker.CAP),
        (view(virtual_time=100.0), Blocker.FAIRNESS),
        (view(virtual_time=0.0), Blocker.BUSY),
        (view(live_running=3), None),
        (view(live_running=3, virtual_time=100.0), Blocker.FAIRNESS),
        (view(age=None), None),
        (view(age=60.0), None),
    ],
    ids=["paused", "no worker", "cap", "fairness", "busy", "free", "free, but others first", "never measured",
         "measured long ago"],
)  # fmt: skip
def test_the_most_decisive_reason_is_told(seen: View, blocker: Blocker | None) -> None:
    assert standing.stand(job(), FIRST, seen).blocked_by == blocker


def test_the_jobs_before_it_keep_a_job_waiting_though_a_slot_is_free() -> None:
    seen = view(known=forecast(tags=[], works=[]), live_running=2)

    assert standing.stand(job(), Ahead(1, 100), seen).blocked_by is None
    assert standing.stand(job(), Ahead(2, 200), seen).blocked_by is Blocker.BUSY


def test_slots_taken_since_the_measurement_are_taken() -> None:
    measured_idle = forecast(running=0, unfinished=0.0, tags=[], works=[])

    assert standing.seconds_to_start(job(), FIRST, view(known=measured_idle, live_running=0)) == 0.0
    # Four jobs of 100 under way, less 3 slots half-way, at 40 a second.
    assert standing.seconds_to_start(job(), FIRST, view(known=measured_idle)) == pytest.approx((400 - 150) / 40)


@pytest.mark.parametrize(
    ("ahead", "position", "more"),
    [(0, 1, False), (EXACT - 1, EXACT, False), (EXACT, EXACT, True)],
)
def test_a_position_is_exact_to_a_thousand(ahead: int, position: int, more: bool) -> None:
    told = standing.stand(job(), Ahead(ahead, 100 * ahead), view(counted=counted_lane()))

    assert (told.position, told.more) == (position, more)


def test_a_start_is_told_as_two_times() -> None:
    told = standing.stand(job(), Ahead(8, 800), view(known=forecast(tags=[], works=[])))

    # 800 tokens before it and 200 under way, less 3 slots half-way through 100, at 40 a second.
    assert told.eta is not None
    assert told.eta.p50 == NOW + timedelta(seconds=(800 + 200 - 150) / 40)
    assert told.eta.p90 > told.eta.p50


@pytest.mark.parametrize(
    "seen",
    [view(paused=True), view(live_slots=0), view(age=None), view(age=60.0), view(known=forecast(done_seconds=0.0)),
     view(known=forecast(utilisation=1e-9))],
    ids=["paused", "no worker", "never measured", "no scheduler", "nothing finished yet", "in years"],
)  # fmt: skip
def test_a_start_that_cannot_be_known_is_not_told(seen: View) -> None:
    assert standing.stand(job(), Ahead(8, 800), seen).eta is None


def test_a_lane_at_its_cap_has_a_start_all_the_same() -> None:
    assert standing.stand(job(), FIRST, view(max_running=1, running=1)).eta is not None


def test_deep_in_a_lane_the_work_ahead_is_its_share_by_age() -> None:
    ahead = Ahead(EXACT, 100 * EXACT)
    known = view(known=forecast(tags=[], works=[]), counted=counted_lane())

    half, end = (standing.seconds_to_start(job(seq=seq), ahead, known) for seq in (5_000, 10_000))

    assert half == pytest.approx((500_000 + 200 - 150) / 40)
    assert end == pytest.approx((1_000_000 + 200 - 150) / 40)


def test_deep_in_a_lane_that_was_not_counted_yet_nothing_is_told() -> None:
    assert standing.stand(job(), Ahead(EXACT, 100 * EXACT), view()).eta is None


def test_a_lane_has_a_ratio_of_its_own_as_far_as_it_is_known() -> None:
    models = forecast(done_work=500.0)

    assert standing.lane_ratio(models, None) == 0.5
    assert standing.lane_ratio(models, counted_lane()) == 0.5
    well_known = counted_lane(done_work=100_000.0, done_estimate=100_000.0)
    assert standing.lane_ratio(models, well_known) == pytest.approx(1.0, abs=0.01)
