"""What each failure must look like, on real processes: the rows of the table in docs/operations.md.

All tests share one system, which is whole and quiet before each; the last one looks at what all of them left.
"""

import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx
import psycopg
import pytest
from redis import ResponseError

from chaos import drills
from chaos.checker import HELD, RAISING, Texts
from chaos.clients import Client
from chaos.drills import Stage
from chaos.intents import Intent, harmful
from chaos.model import foretell
from chaos.storm import judge
from chaos.system import APIS, SCHEDULERS, WORKERS, Choices, System, running
from chaos.valkey import fill_disk, free_disk
from chaos.works import IS_LONG, IS_ORDINARY, IS_SLOW
from tests.waiting import in_background

pytestmark = pytest.mark.acceptance

LEASE = 2.0
IDLE_LOOK = 1.0  # seconds until a worker finds a job that nobody told it of
BUSY = 2.0  # what a machine with other work may add
SECONDS = 60.0
ROUNDS = 10
MADE = "SELECT count(*) FROM jobs WHERE metadata->>'key' = %s"
BLOCKED = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'quire-api'"
PATH = """
SELECT array_agg(new_state ORDER BY seq), max(logged) FROM chaos.steps
WHERE job_id = %s::uuid AND old_state IS DISTINCT FROM new_state
"""
LOGGED = "SELECT coalesce(sum(tokens), 0) FROM chunks WHERE job_id = %s::uuid"
LATE = """
SELECT hold, clock_timestamp() > not_before + interval '1 second' FROM jobs WHERE id = %s::uuid
"""


@dataclass(frozen=True)
class Played:
    """The stage of all tests, and what its works come to without faults."""

    stage: Stage
    texts: Texts


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("failures")
    model = foretell(folder / "model")
    choices = Choices(model.source, lease=LEASE, heartbeat=0.4)
    with running(folder / "system", choices) as system, closing(Stage(system)) as stage:
        yield Played(stage, model.texts)


@pytest.fixture
def stage(played: Played) -> Stage:
    played.stage.rest()
    return played.stage


@pytest.fixture
def system(stage: Stage) -> System:
    return stage.system


def made(system: System, intent: Intent) -> int:
    """How many jobs a key has made."""
    return int(str(system.ask(MADE, intent.key)[0][0]))


def committed(system: System, job: str) -> int:
    """How many tokens of a job's text are in its log."""
    return int(str(system.ask(LOGGED, job.removeprefix("job_"))[0][0]))


def path(system: System, job: str) -> tuple[list[str], int]:
    """The states that a job went through, and the tokens it had when it was claimed again."""
    ((states, logged),) = system.ask(PATH, job.removeprefix("job_"))
    return list(states), int(str(logged))  # type: ignore[call-overload]


def at_work_on(stage: Stage, worker: str) -> list[str]:
    """Have jobs run, some of them on this worker, which are returned."""
    for _ in range(ROUNDS):
        stage.running(IS_SLOW)
        if jobs := stage.system.running_on(worker):
            return jobs
    pytest.fail(f"{worker} takes no jobs")


def refused(system: System, worker: str) -> int:
    """How often a worker has said that a job it wrote for is no longer its own."""
    return (system.folder / f"logs/{worker}.log").read_text().count('"job lost"')


def succeeded(count: int, attempts: int = 0) -> list[tuple[str, int, str]]:
    return [("succeeded", attempts, "")] * count


# ---- the API ---------------------------------------------------------------------------------------------------


def test_a_submit_whose_api_died_before_its_commit_made_nothing_and_may_be_repeated(
    stage: Stage, system: System
) -> None:
    intent = Intent(stage.key(), IS_ORDINARY[0])
    with psycopg.connect(system.database_url) as holder:
        holder.execute("LOCK TABLE ledger IN SHARE MODE")  # which a submission writes to before it commits
        lost = in_background(lambda: stage.client.submit(intent, patience=0))
        system.until(lambda: system.ask(BLOCKED), SECONDS, "the submission to be blocked")

        for api in APIS:
            system.processes.strike(api)

        system.until(lost.done, SECONDS, "the broken connection")
    assert (lost.result(), made(system, intent)) == ("", 0)
    job = stage.send(intent)
    assert (stage.ends([job]), made(system, intent)) == (succeeded(1), 1)


def test_a_submit_whose_api_died_after_its_commit_is_answered_with_the_same_job(
    stage: Stage, system: System
) -> None:
    intent = Intent(stage.key(), IS_SLOW[0])
    lost = in_background(lambda: stage.client.submit(intent, patience=0, hold=10))
    system.until(lambda: made(system, intent), SECONDS, "the commit")

    for api in APIS:
        system.processes.strike(api)

    system.until(lost.done, SECONDS, "the broken connection")
    assert lost.result() == ""
    job = stage.send(intent)
    assert (stage.ends([job]), made(system, intent)) == (succeeded(1), 1)
    assert stage.number(drills.WAITED, [job]) < IDLE_LOOK + BUSY


def test_a_connection_made_while_the_api_is_restarted_waits_for_it(stage: Stage, system: System) -> None:
    for api in APIS:
        system.processes.put_down(api)
    # A connection of its own: one that is left from before may break only now.
    with closing(Client(system.url, stage.account, stage.history)) as newcomer:
        submitted = in_background(lambda: newcomer.submit(Intent(stage.key(), IS_ORDINARY[1]), patience=0))

        for api in APIS:
            system.processes.bring_up(api)

        system.until(submitted.done, SECONDS, "an answer")

    assert stage.ends([submitted.result()]) == succeeded(1)


# ---- Redis -----------------------------------------------------------------------------------------------------


def test_without_redis_submits_are_answered_jobs_start_and_end_and_waiting_clients_hear_of_it(
    stage: Stage, system: System
) -> None:
    at_work = stage.running(IS_SLOW[:4])
    waiting = in_background(lambda: stage.client.read(at_work[0]))

    system.processes.put_down("valkey")

    new = stage.submit(IS_ORDINARY[:8])
    assert stage.ends([*at_work, *new]) == succeeded(12)
    system.until(waiting.done, SECONDS, "the waiting client")
    assert waiting.result().state == "succeeded"


def test_a_redis_that_comes_back_empty_costs_nothing(stage: Stage, system: System) -> None:
    jobs = stage.submit([*IS_SLOW[:4], *IS_ORDINARY[:8]])

    system.processes.put_down("valkey")
    system.forget_valkey()
    system.processes.bring_up("valkey")

    assert stage.ends(jobs) == succeeded(12)


def test_a_redis_whose_disk_is_full_stops_nothing_and_recovers_by_itself(stage: Stage, system: System) -> None:
    def refuses() -> bool:
        try:
            client.set("chaos", "full")
        except ResponseError:
            return True
        return False

    pid = system.processes.pid("valkey")
    assert pid is not None
    if not fill_disk(pid):
        pytest.skip("this system cannot limit what another process writes")
    with system.valkey() as client:
        system.until(refuses, SECONDS, "Valkey to notice")
        jobs = stage.submit([*IS_SLOW[:4], *IS_ORDINARY[:8]])
        assert stage.ends(jobs) == succeeded(12)

        free_disk(pid)

        system.until(lambda: not refuses(), SECONDS, "Valkey to take writes again")


# ---- workers ---------------------------------------------------------------------------------------------------


def test_a_job_whose_worker_is_killed_goes_on_from_its_last_commit(stage: Stage, system: System) -> None:
    (job,) = stage.running(IS_LONG[:1])
    system.until(lambda: committed(system, job) >= 20, SECONDS, "some text")
    victim, _ = stage.busiest()

    system.processes.strike(victim)

    assert stage.ends([job]) == succeeded(1, attempts=1)
    states, resumed_at = path(system, job)
    assert states == ["queued", "running", "queued", "running", "succeeded"]
    assert resumed_at >= 20


def test_a_worker_told_to_stop_hands_its_jobs_over_and_counts_no_attempt(stage: Stage, system: System) -> None:
    jobs = stage.running(IS_SLOW)
    victim, moved = stage.busiest()

    system.drain(victim)

    assert stage.ends(jobs) == succeeded(len(jobs))
    assert all(path(system, job)[0].count("running") == 2 for job in moved)


def test_a_worker_that_hangs_beyond_its_lease_comes_back_to_jobs_that_are_no_longer_its_own(
    stage: Stage, system: System
) -> None:
    hit, before = at_work_on(stage, WORKERS[0]), refused(system, WORKERS[0])

    system.processes.strike(WORKERS[0], signal.SIGSTOP)
    system.until(lambda: set(hit) <= set(system.running_on(WORKERS[1])), SECONDS, "the other worker")
    system.processes.strike(WORKERS[0], signal.SIGCONT)

    assert stage.ends(hit) == succeeded(len(hit), attempts=1)
    system.until(lambda: refused(system, WORKERS[0]) > before, SECONDS, "its late writes to be refused")


def test_a_worker_cut_off_from_postgres_costs_one_attempt_and_writes_nothing_late(
    stage: Stage, system: System
) -> None:
    hit, before = at_work_on(stage, WORKERS[1]), refused(system, WORKERS[1])

    system.postgres_proxy.refuse()
    system.until(lambda: set(hit) <= set(system.running_on(WORKERS[0])), SECONDS, "the other worker")
    system.postgres_proxy.allow()

    assert stage.ends(hit) == succeeded(len(hit), attempts=1)
    system.until(lambda: refused(system, WORKERS[1]) > before, SECONDS, "its late writes to be refused")


def test_a_job_that_kills_its_workers_fails_alone(stage: Stage) -> None:
    figures = drills.poison(stage)

    assert [figure for figure in figures if not figure.kept] == []


def test_a_job_that_raises_fails_alone_and_at_once(stage: Stage, system: System) -> None:
    neighbours = stage.running(IS_SLOW)

    bad = stage.send(harmful(RAISING, stage.key()))

    assert stage.ends([bad]) == [("failed", 0, "engine_error")]
    assert stage.ends(neighbours) == succeeded(len(neighbours))


# ---- Postgres --------------------------------------------------------------------------------------------------


def test_while_postgres_restarts_clients_are_told_to_come_back_and_running_jobs_land(
    stage: Stage, system: System
) -> None:
    jobs = stage.running(IS_SLOW)
    address = f"{system.url}/v1/jobs/{jobs[0]}"

    system.processes.put_down("postgres")
    answer = httpx.get(address, headers={"Authorization": f"Bearer {stage.account.api_key}"}, timeout=SECONDS)
    system.processes.bring_up("postgres")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert stage.ends(jobs) == succeeded(len(jobs))
    assert all(path(system, job)[0] == ["queued", "running", "succeeded"] for job in jobs)


def test_jobs_outlast_a_postgres_that_is_away_for_longer_than_a_lease(stage: Stage, system: System) -> None:
    jobs = stage.running([*IS_SLOW, *IS_LONG])

    system.processes.put_down("postgres", signal.SIGQUIT)
    system.processes.pause(2.5 * LEASE)
    system.processes.bring_up("postgres")

    assert stage.ends(jobs) == succeeded(len(jobs))


# ---- schedulers ------------------------------------------------------------------------------------------------


def test_when_a_scheduler_dies_another_releases_what_is_held(stage: Stage, system: System) -> None:
    held = stage.send(Intent(stage.key(), IS_ORDINARY[0], HELD, seconds=1.0))

    system.processes.put_down(SCHEDULERS[0])

    assert stage.ends([held]) == succeeded(1)
    assert path(system, held)[0] == ["queued", "running", "succeeded"]


def test_without_any_scheduler_what_is_held_waits_for_one(stage: Stage, system: System) -> None:
    for scheduler in SCHEDULERS:
        system.processes.put_down(scheduler)
    held = stage.send(Intent(stage.key(), IS_ORDINARY[0], HELD, seconds=0.5))

    def is_late() -> bool:
        return bool(system.ask(LATE, held.removeprefix("job_"))[0][1])

    system.until(is_late, SECONDS, "its time to pass")
    assert system.ask(LATE, held.removeprefix("job_"))[0][0] != 0
    system.processes.bring_up(SCHEDULERS[0])
    assert stage.ends([held]) == succeeded(1)


# ---- all of it -------------------------------------------------------------------------------------------------


def test_in_all_of_this_nothing_was_lost_doubled_or_written_late(played: Played) -> None:
    played.stage.rest()

    found = judge(played.stage.system, played.stage.history.events(), (), played.texts, seconds=1.0)

    assert found.violations == []
    assert [figure for figure in found.figures if not figure.kept] == []
