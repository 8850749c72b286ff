"""Books that are right are found right, at any moment; each thing wrong with them is found and named."""

import json
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from quire import audit as package
from quire.artifacts import PART, Made
from quire.audit import checks
from quire.audit.__main__ import main
from quire.audit.auditing import Sums, audit
from quire.jobs import Outcome
from quire.store.job import State
from quire.testing import Place
from scheduler.batching import Batching
from tests.integration import steps
from tests.waiting import in_background


def change(place: Place, statement: str) -> None:
    """Do what no code of ours does; foreign keys and other rules look away."""
    with place.database.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement))


def found(place: Place) -> dict[str, int]:
    _, results = audit(place.database)
    return {result.check.name: result.found for result in results if result.found}


def furnish(place: Place) -> None:
    """Jobs in every state, of two tenants."""
    other = steps.tenant(place)
    for claimed in [steps.running(place) for _ in range(3)]:
        steps.keep(place, claimed, Made(0, "wav", bytes(PART + 1)), Made(0, "svg", unavailable="no verovio"))
        steps.succeed(place, claimed, "The end.")
    failed = steps.running(place, owner=other)
    steps.commit(place, steps.report(failed, "Half", Outcome(State.FAILED, 9, 4, error={"code": "x"})))
    steps.cancel(place, steps.queued(place).id)
    half_done = steps.running(place)
    steps.commit(place, steps.report(half_done, "The"))
    steps.cancel(place, half_done.id)
    steps.many_queued(place, 2)
    crashed = steps.worker(place)
    steps.claim(place, crashed, 1)
    steps.die(place, crashed)
    steps.requeue(place)
    steps.claim(place, steps.worker(place), 1)
    steps.batch(place, 5)
    Batching(place.database, window=3).run()
    steps.schedule(place, place.tenant)


def test_books_that_are_right_are_found_right(place: Place) -> None:
    furnish(place)

    assert found(place) == {}


def test_the_ledger_is_added_up(place: Place) -> None:
    steps.succeed(place, steps.running(place), "The end.")
    steps.queued(place)

    sums, _ = audit(place.database)

    assert sums == Sums(entries=2, open=1, reserved=20, prompt_tokens=4, completion_tokens=8)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("account_differs", "UPDATE usage SET reserved = reserved + 1"),
        ("account_differs", "DELETE FROM usage"),
        ("job_without_entry", "DELETE FROM ledger WHERE settled_at IS NOT NULL"),
        ("job_without_entry", "UPDATE ledger SET tenant_id = gen_random_uuid()"),
        ("open_without_live_job", "UPDATE ledger SET settled_at = NULL"),
        ("open_without_live_job", "DELETE FROM jobs WHERE state = 'queued'"),
        ("settled_of_live_job", "UPDATE ledger SET settled_at = now(), prompt_tokens = 0, completion_tokens = 0"),
        ("wrong_bill", "UPDATE ledger SET completion_tokens = 7 WHERE completion_tokens = 8"),
        ("wrong_bill", "UPDATE ledger SET prompt_tokens = 0"),
        ("more_than_reserved", "UPDATE ledger SET reserved = 1"),
        ("text_of_other_length", "UPDATE chunks SET tokens = tokens + 1"),
        ("text_of_other_length", "DELETE FROM chunks"),
        ("text_without_job", "DELETE FROM jobs WHERE state = 'succeeded'"),
        ("artifact_of_other_size", "UPDATE artifacts SET size = size + 1"),
        ("artifact_of_other_size", "DELETE FROM artifact_parts WHERE part = 0"),
        ("artifact_of_other_size", "UPDATE artifacts SET unavailable = 'lost'"),
        ("artifact_of_other_tenant", "UPDATE artifact_parts SET tenant_id = gen_random_uuid()"),
        ("end_without_time", "UPDATE jobs SET finished_at = NULL WHERE state = 'cancelled'"),
        ("running_miscounted", "UPDATE lanes SET running = running + 1"),
        ("outstanding_miscounted", "UPDATE lanes SET outstanding = outstanding - 1"),
        ("outstanding_miscounted", "UPDATE jobs SET charged = charged + 1 WHERE state = 'running'"),
        ("stranded", "UPDATE lanes SET ready = false"),
        ("batch_miscounted", "UPDATE batches SET held = held - 1"),
        ("batch_miscounted", "UPDATE batches SET reserved = 0"),
        ("batch_miscounted", "UPDATE jobs SET collected = true WHERE batch_id IS NOT NULL"),
        ("occurrence_without_batch", "UPDATE occurrences SET state = 'started'"),
    ],
)
def test_what_is_wrong_is_found(place: Place, name: str, damage: str) -> None:
    furnish(place)

    change(place, damage)

    assert name in found(place)


def test_every_check_is_made_to_find_something() -> None:
    (tried,) = (mark for mark in test_what_is_wrong_is_found.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]

    assert {name for name, _ in tried.args[1]} == {check.name for check in checks.CHECKS}
    assert package.__doc__


def test_what_is_found_is_counted_whole_and_named_in_part(place: Place) -> None:
    ids = steps.in_bulk(place, 12)
    change(place, "DELETE FROM ledger")

    _, results = audit(place.database)

    (result,) = (each for each in results if each.found)
    assert result.found == 12
    assert 0 < len(result.examples) < 12
    assert all(example.removeprefix("job ") in {str(job) for job in ids} for example in result.examples)


def test_under_load_nothing_false_is_found(place: Place) -> None:
    stop = threading.Event()

    def keep_going(action: Callable[[], None]) -> None:
        while not stop.is_set():
            action()

    def work() -> None:
        worker = steps.worker(place)
        for claimed in steps.claim(place, worker, 4):
            steps.succeed(place, claimed, "The end.")
        steps.queued(place)
        steps.claim(place, worker, 1)
        steps.die(place, worker)

    def submit() -> None:
        steps.cancel(place, steps.many_queued(place, 5)[0])
        steps.requeue(place)

    loads = [in_background(keep_going, action) for action in (work, submit, submit)]
    try:
        seen = [found(place) for _ in range(15)]
    finally:
        stop.set()
    for load in loads:
        load.result(timeout=30)

    assert seen == [{}] * 15
    assert audit(place.database)[0].entries > 0


# ---- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def environment(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIRE_DATABASE_URL", postgres_url)


@pytest.mark.usefixtures("environment")
def test_the_command_prints_a_line_for_each_rule_and_the_sums(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.succeed(place, steps.running(place), "The end.")

    code = main([])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert len(lines) == len(checks.CHECKS) + 1
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1] == "1 entries billed 4 tokens of prompts and 8 of texts; 0 are open and reserve 0"


@pytest.mark.usefixtures("environment")
def test_a_finding_is_code_1_and_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    steps.in_bulk(place, 7)
    change(place, "UPDATE lanes SET ready = false")

    code = main([])

    out = capsys.readouterr().out
    assert code == 1
    assert "FOUND" in out
    assert f"lane of {place.tenant.id} for tiny" in out


@pytest.mark.usefixtures("environment")
def test_the_command_speaks_json(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    steps.in_bulk(place, 7)
    change(place, "DELETE FROM ledger")

    code = main(["--json"])

    told = json.loads(capsys.readouterr().out)
    assert code == 1
    assert told["ledger"]["entries"] == 0
    assert {each["name"]: each["found"] for each in told["checks"]}["job_without_entry"] == 7


def test_without_a_database_it_says_so_and_is_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUIRE_DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")

    assert main([]) == 2
    assert capsys.readouterr().err.startswith("quire audit: ")
