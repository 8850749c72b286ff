"""Predicted starts beside those of a simulated fair queue."""

import random

import pytest

from quire import eta
from quire.calibration import Stretches, kind
from quire.eta import Backlog, Curve, Done, Service, Spot
from tests.unit.kernel.fair_queue import FairQueue, SimulatedLane, Waiting


def jobs(count: int, estimate: float = 100.0, work: float | None = None) -> list[Waiting]:
    return [Waiting(estimate, estimate if work is None else work) for _ in range(count)]


def uneven(count: int, chance: random.Random, most: float = 100.0) -> list[Waiting]:
    """Jobs that stop somewhere before their most."""
    return [Waiting(most, chance.uniform(0.1, 1.0) * most) for _ in range(count)]


def errors(queue: FairQueue) -> list[tuple[float, float]]:
    """For every job that waits now: when its start is predicted, and when it comes, in seconds from now."""
    service, now = queue.service(), queue.now
    told = [
        (eta.seconds_to_start(service, queue.spot(lane, place)), job)
        for lane in queue.lanes
        for place, job in enumerate(lane.queue)
    ]
    queue.run(until=1e9)
    return [(seconds, (job.started or 0.0) - now) for seconds, job in told if seconds is not None]


def close(told: float, real: float, job_seconds: float) -> bool:
    """Within a job's length, or a quarter of the time."""
    return abs(told - real) <= max(job_seconds, 0.25 * real)


# ---- one lane ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 4, 32])
def test_the_jobs_of_one_lane_start_as_predicted(slots: int) -> None:
    lane = SimulatedLane()
    queue = FairQueue(lane, slots=slots)
    queue.submit(lane, *uneven(40 * slots, random.Random(1)))
    queue.run(until=60)

    predicted = errors(queue)

    assert len(predicted) > 10 * slots
    assert all(close(told, real, job_seconds=10) for told, real in predicted)


def test_a_wave_of_equal_jobs_is_met_in_its_middle() -> None:
    lane = SimulatedLane()
    queue = FairQueue(lane, slots=8)
    queue.submit(lane, *jobs(8))
    queue.run(until=10)
    queue.submit(lane, *jobs(80))

    assert all(close(told, real, job_seconds=10) for told, real in errors(queue))


def test_a_job_with_a_free_slot_starts_at_once() -> None:
    lane = SimulatedLane()
    queue = FairQueue(lane, slots=4)
    queue.submit(lane, *jobs(3))
    queue.run(until=11)
    queue.submit(lane, *jobs(3))
    fourth = Spot(tag=queue.settled(lane), ahead=0.0, job=100.0, counted=0.0, cap=None, running=3)

    assert eta.starts_at_once(queue.service(), fourth)
    assert eta.seconds_to_start(queue.service(), fourth) == 0.0


def test_without_a_measured_rate_nothing_is_predicted() -> None:
    lane = SimulatedLane()
    queue = FairQueue(lane, slots=1)
    queue.submit(lane, *jobs(2))

    assert eta.seconds_to_start(queue.service(), queue.spot(lane, 0)) is None


# ---- several lanes ----------------------------------------------------------------------------------------


def test_newcomers_beside_a_flood_start_as_predicted() -> None:
    chance = random.Random(2)
    flood, *others = (SimulatedLane() for _ in range(11))
    queue = FairQueue(flood, *others, slots=4)
    queue.submit(flood, *uneven(500, chance))
    queue.run(until=300)
    for lane in others:
        queue.submit(lane, *uneven(3, chance))

    predicted = errors(queue)

    assert all(close(told, real, job_seconds=20) for told, real in predicted)


def test_weights_are_allowed_for() -> None:
    chance = random.Random(3)
    lanes = [SimulatedLane(weight) for weight in (1.0, 2.0, 4.0)]
    queue = FairQueue(*lanes, slots=4)
    for lane in lanes:
        queue.submit(lane, *uneven(200, chance))
    queue.run(until=100)

    assert all(close(told, real, job_seconds=20) for told, real in errors(queue))


def test_lanes_whose_jobs_stop_early_are_known_for_it() -> None:
    brief, full = SimulatedLane(), SimulatedLane()
    queue = FairQueue(brief, full, slots=4)
    queue.submit(brief, *jobs(400, estimate=100, work=20))
    queue.submit(full, *jobs(100, estimate=100, work=100))
    queue.run(until=200)

    assert all(close(told, real, job_seconds=20) for told, real in errors(queue))


def test_a_lane_at_its_cap_waits_for_its_own_slots_and_the_others_gain() -> None:
    chance = random.Random(4)
    capped, free = SimulatedLane(cap=1), SimulatedLane()
    queue = FairQueue(capped, free, slots=8)
    queue.submit(capped, *jobs(60, work=55))
    queue.submit(free, *uneven(300, chance))
    queue.run(until=60)

    assert all(close(told, real, job_seconds=20) for told, real in errors(queue))


# ---- the curve --------------------------------------------------------------------------------------------


def test_a_curve_adds_up_what_each_lane_may_have() -> None:
    drawn = eta.curve([Backlog(0, 1, 100), Backlog(50, 2, 100)])

    assert [drawn.at(tag) for tag in (-1, 0, 25, 50, 75, 100, 1000)] == [0, 0, 25, 50, 125, 200, 200]


def test_half_a_job_of_a_lane_with_the_same_tag_comes_before() -> None:
    drawn = eta.curve([Backlog(10, 1, 100, job=20), Backlog(10, 1, 100, job=20)])

    assert drawn.at(10) == 20


def test_an_empty_curve_is_nothing_everywhere() -> None:
    assert eta.curve([]).at(10) == Curve().at(10) == 0
    assert eta.curve([Backlog(5, 1, 0)]).at(10) == 0


def test_a_curve_of_many_lanes_has_few_knots_and_the_same_end() -> None:
    chance = random.Random(5)
    lanes = [Backlog(chance.uniform(0, 1000), chance.uniform(0.5, 4), chance.uniform(1, 500)) for _ in range(3000)]

    few, all_of_them = eta.curve(lanes, knots=64), eta.curve(lanes, knots=10**6)

    assert len(few.tags) <= 66
    assert few.works[-1] == pytest.approx(sum(lane.work for lane in lanes))
    for tag in range(0, 1500, 50):
        assert few.at(tag) == pytest.approx(all_of_them.at(tag), rel=0.05, abs=0.01 * few.works[-1])


def test_a_lane_that_its_cap_holds_back_gets_its_cap_and_no_more() -> None:
    free, held = eta.limited([Backlog(100, 1, 1000), Backlog(0, 1, 1000, share=0.25)])

    assert free.weight == 1
    assert (held.virtual_time, held.weight) == (100, pytest.approx(1 / 3))


def test_a_cap_that_is_wider_than_its_share_changes_nothing() -> None:
    lanes = [Backlog(0, 1, 1000), Backlog(0, 1, 1000, share=0.5)]

    assert eta.limited(lanes) == lanes


# ---- what blocks ------------------------------------------------------------------------------------------


def busy(**changes: object) -> Service:
    values = {
        "slots": 4, "running": 4, "unfinished": 200.0, "rate": 40.0, "job_work": 100.0, "half": 50.0, "age": 0.0,
        "curve": Curve([0.0, 100.0], [0.0, 300.0]),
    }  # fmt: skip
    return Service(**values | changes)  # type: ignore[arg-type]


def test_others_come_before_a_job_whose_tag_is_behind_theirs() -> None:
    behind = Spot(tag=100.0, ahead=0.0, job=100.0, counted=0.0, cap=None, running=0)

    assert eta.waits_for_others(busy(), behind)
    assert not eta.waits_for_others(busy(), Spot(0.0, 0.0, 100.0, 0.0, None, 0))


def test_what_was_served_since_the_curve_was_drawn_is_no_reason() -> None:
    spot = Spot(tag=100.0, ahead=0.0, job=100.0, counted=0.0, cap=None, running=0)

    assert not eta.waits_for_others(busy(age=10.0), spot)


def test_an_older_measurement_leaves_less_to_wait() -> None:
    spot = Spot(tag=100.0, ahead=400.0, job=100.0, counted=0.0, cap=None, running=0)
    fresh, old = (eta.seconds_to_start(busy(age=age), spot) for age in (0.0, 2.0))

    assert fresh is not None
    assert old == pytest.approx(fresh - 2.0)


# ---- finished jobs ----------------------------------------------------------------------------------------


def test_the_speed_and_the_ratio_are_those_of_the_latest_jobs() -> None:
    slow, fast = Done(1, 100, 10_000, 200, 10), Done(1, 100, 10_000, 100, 5)
    known = Done()
    for new in [slow] * 100 + [fast] * 1000:
        known = known.add(new, memory=100)

    assert known.speed == pytest.approx(20, rel=0.01)
    assert known.ratio == pytest.approx(1, rel=0.01)


def test_nothing_is_known_of_no_jobs() -> None:
    assert (Done().speed, Done().ratio) == (0.0, 1.0)


# ---- how often it holds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_p90_holds_nine_times_in_ten_in_a_mixed_load(seed: int) -> None:
    chance = random.Random(seed)
    lanes = [SimulatedLane(weight=chance.choice([1.0, 2.0])) for _ in range(12)]
    queue = FairQueue(*lanes, slots=8)
    told: list[tuple[float, float, int, Waiting]] = []  # p50, p90, kind, job
    judged: list[tuple[bool, bool]] = []
    stretches = Stretches()
    arrival = 0.0

    while arrival < 6000:
        arrival += chance.expovariate(0.2)
        queue.run(until=arrival)
        queue.submit(chance.choice(lanes), *uneven(chance.choice([1, 1, 2, 20]), chance))
        for entry in [each for each in told if each[3].started is not None or each[1] < queue.now]:
            told.remove(entry)
            start = entry[3].started if entry[3].started is not None else float("inf")
            judged.append((start <= entry[0], start <= entry[1]))
            stretches = stretches.learn(entry[2], within_p50=judged[-1][0], within_p90=judged[-1][1])
        lane = chance.choice([each for each in lanes if each.queue] or [None])
        if lane is not None:
            place = chance.randrange(len(lane.queue))
            seconds = eta.seconds_to_start(queue.service(), queue.spot(lane, place))
            if seconds is not None:
                start_in = stretches.start(seconds)
                told.append((
                    queue.now + start_in.p50, queue.now + start_in.p90, kind(seconds), lane.queue[place],
                ))  # fmt: skip

    half = judged[len(judged) // 2 :]
    assert len(half) > 200
    assert sum(within for _, within in half) / len(half) == pytest.approx(0.9, abs=0.05)
    assert sum(within for within, _ in half) / len(half) == pytest.approx(0.5, abs=0.1)
