"""What a scheduler measures: how a model is served, what waits in its lanes, and how its predictions turn out."""

from uuid import UUID

import pytest
from sqlalchemy import select, text

from quire import standing
from quire.standing import Blocker, Standing
from quire.store import Forecast, Guess, Job, LaneForecast, Tenant, waiting
from quire.testing import MODEL, Place
from scheduler import forecasting
from tests.integration import steps


def measure(place: Place) -> int:
    """Measure now, due or not."""
    change(place, "UPDATE forecasts SET due_at = clock_timestamp()")
    return forecasting.measure(place.database)


def predicted(place: Place) -> list[Guess]:
    """Measure, and let the next measurement predict from it."""
    measure(place)
    measure(place)
    return guesses(place)


def change(place: Place, statement: str) -> None:
    with place.database.service() as session:
        session.execute(text(statement))


def forecast(place: Place) -> Forecast:
    with place.database.service() as session:
        return session.get_one(Forecast, MODEL)


def lane(place: Place, owner: Tenant | None = None) -> LaneForecast:
    with place.database.service() as session:
        return session.get_one(LaneForecast, (MODEL, (owner or place.tenant).id))


def guesses(place: Place) -> list[Guess]:
    with place.database.service() as session:
        return list(session.scalars(select(Guess)).all())


def stand(place: Place, job: Job) -> Standing:
    with place.database.tenant(job.tenant_id) as session:
        return standing.stand(job, waiting.ahead_of(session, job), waiting.view(session, job))


def finished(place: Place, count: int = 4, seconds: float = 10.0) -> UUID:
    """Jobs that ran so long on a worker, which is returned; each was 4 tokens of prompt and 16 of text."""
    worker = steps.worker(place, slots=count)
    steps.many_queued(place, count)
    for claimed in steps.claim(place, worker, count):
        steps.succeed(place, claimed, "0123456789abcdef")
    change(place, "UPDATE jobs SET finished_at = finished_at - interval '2 s' WHERE finished_at IS NOT NULL")
    change(place, f"UPDATE jobs SET started_at = finished_at - interval '{seconds} s'")
    return worker


def test_a_model_is_measured_once_a_second_by_whichever_scheduler(place: Place) -> None:
    forecasting.measure(place.database)
    first = forecast(place).measured_at

    forecasting.measure(place.database)

    assert first is not None
    assert forecast(place).measured_at == first


def test_a_scheduler_does_not_wait_for_another_that_measures(place: Place) -> None:
    forecasting.measure(place.database)
    before = forecast(place).measured_at
    change(place, "UPDATE forecasts SET due_at = clock_timestamp()")

    with place.database.service() as session:
        session.execute(text("SELECT FROM forecasts FOR UPDATE"))
        forecasting.measure(place.database)

    assert forecast(place).measured_at == before


def test_slots_and_running_jobs_are_those_of_live_workers(place: Place) -> None:
    worker = steps.worker(place, slots=3)
    steps.worker(place, slots=5)
    steps.many_queued(place, 2)
    steps.claim(place, worker, 2)

    measure(place)

    assert (forecast(place).slots, forecast(place).running) == (8, 2)
    assert forecast(place).unfinished == pytest.approx(2 * 20)


def test_the_speed_comes_from_finished_jobs_and_each_is_counted_once(place: Place) -> None:
    finished(place, count=4, seconds=10.0)

    measure(place)
    measure(place)

    done = forecast(place).done
    assert (done.jobs, done.work, done.estimate) == (4, 4 * 20, 4 * 20)
    assert done.speed == pytest.approx(2.0, rel=0.01)


def test_jobs_that_were_cancelled_or_put_back_say_nothing_of_the_speed(place: Place) -> None:
    claimed = steps.running(place)
    steps.cancel(place, claimed.id)
    change(place, "UPDATE jobs SET finished_at = finished_at - interval '2 s'")

    measure(place)

    assert forecast(place).done.jobs == 0


def test_what_waits_is_counted_lane_by_lane_and_drawn_as_a_curve(place: Place) -> None:
    other = steps.tenant(place, weight=2)
    steps.many_queued(place, 3)
    steps.many_queued(place, 5, other)
    steps.queued(place, priority=-1)

    measure(place)

    assert [(counted.jobs, counted.work) for counted in (lane(place), lane(place, other))] == [(4, 80), (5, 100)]
    assert lane(place).last_seq > lane(place).first_seq
    assert forecast(place).curve.at(1e9) == pytest.approx(180)


def test_the_lanes_of_paused_tenants_do_not_come_before_anybody(place: Place) -> None:
    paused = steps.tenant(place, paused=True)
    steps.many_queued(place, 5, paused)

    measure(place)

    assert forecast(place).curve.at(1e9) == 0


def test_a_lane_that_is_empty_again_counts_as_empty(place: Place) -> None:
    steps.many_queued(place, 3)
    measure(place)
    worker = steps.worker(place)

    steps.claim(place, worker, 8)  # finds the lane empty behind them, and clears its flag
    steps.claim(place, worker, 8)
    measure(place)

    assert lane(place).jobs == 0
    assert forecast(place).curve.at(1e9) == 0


def test_a_waiting_job_is_told_when_it_starts_and_what_it_waits_for(place: Place) -> None:
    worker = finished(place, count=2, seconds=10.0)
    running = steps.many_queued(place, 2)
    steps.claim(place, worker, 2)
    waits = steps.queued(place)

    measure(place)
    told = stand(place, waits)

    assert len(running) == 2
    assert (told.position, told.more, told.blocked_by) == (1, False, Blocker.BUSY)
    assert told.eta is not None
    assert told.eta.p50 <= told.eta.p90


def test_the_jobs_of_others_that_come_first_are_named_as_the_reason(place: Place) -> None:
    steps.worker(place, slots=1)
    other = steps.tenant(place)
    waits = steps.queued(place)
    steps.many_queued(place, 8, other)
    change(place, f"UPDATE lanes SET virtual_time = 1000 WHERE tenant_id = '{place.tenant.id}'")
    measure(place)

    assert stand(place, waits).blocked_by is Blocker.FAIRNESS


def test_predictions_are_compared_with_what_comes(place: Place) -> None:
    worker = finished(place)
    waits = steps.many_queued(place, 3)
    told = predicted(place)
    before = forecast(place).stretches

    steps.claim(place, worker, 3)
    judged = measure(place)

    assert {guess.job_id for guess in told} <= set(waits)
    assert judged == len(told) > 0
    assert guesses(place) == []
    assert forecast(place).stretches != before


def test_a_start_that_is_overdue_counts_as_missed(place: Place) -> None:
    finished(place)
    steps.many_queued(place, 3)
    predicted(place)
    change(place, "UPDATE guesses SET p50 = p50 - interval '1 hour', p90 = p90 - interval '1 hour'")
    before = forecast(place).stretches

    judged = measure(place)

    assert judged > 0
    assert max(forecast(place).stretches.p90) > max(before.p90)


def test_a_prediction_for_a_job_that_never_starts_is_forgotten(place: Place) -> None:
    finished(place)
    (waits,) = steps.many_queued(place, 1)
    assert [guess.job_id for guess in predicted(place)] == [waits]
    before = forecast(place).stretches

    steps.cancel(place, waits)

    assert measure(place) == 0
    assert guesses(place) == []
    assert forecast(place).stretches == before


def test_slots_that_stay_free_while_jobs_wait_are_noticed(place: Place) -> None:
    steps.worker(place)
    steps.queued(place)
    measure(place)
    since = forecast(place).idle_since

    measure(place)

    assert since is not None
    assert forecast(place).idle_since == since


def test_a_start_shows_that_slots_are_not_idle(place: Place) -> None:
    worker = steps.worker(place)
    steps.many_queued(place, 3)
    measure(place)
    since = forecast(place).idle_since

    steps.claim(place, worker, 1)
    measure(place)

    assert since is not None
    assert (forecast(place).idle_since or since) > since


def test_slots_without_waiting_jobs_are_merely_free(place: Place) -> None:
    steps.worker(place)

    measure(place)

    assert forecast(place).idle_since is None


def test_measuring_leaves_claims_and_submissions_alone(place: Place) -> None:
    worker = steps.worker(place)
    steps.many_queued(place, 2)
    with place.database.service() as session:
        (row,) = forecasting.forecast.take_due(session)
        forecasting.measure_one(session, row)

        assert len(steps.claim(place, worker, 1)) == 1
        steps.queued(place)


def test_slots_that_are_about_to_take_what_just_came_do_not_count_as_badly_used(place: Place) -> None:
    steps.worker(place, slots=4)
    steps.many_queued(place, 4)
    measure(place)
    assert forecast(place).utilisation == 1.0

    steps.many_queued(place, 1)
    change(place, "UPDATE lane_forecasts SET counted_at = counted_at - interval '1 min'")
    measure(place)

    assert forecast(place).utilisation < 1.0
