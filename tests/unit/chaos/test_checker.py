"""Every kind of violation is found, in histories made by hand; a sound one has none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from chaos import checker
from chaos.checker import Expected, Violation, check
from chaos.evidence import Bill, Evidence, JobRow, LogRow, Step, Write
from chaos.history import READ, SUBMIT, Event
from quire.pieces import Piece

ONE, OTHER, SCHEDULER = "chaos_worker_1", "chaos_worker_2", "quire"
TEXTS = [[Expected("Hello World", "length", 3)], [Expected("Hello", "stop", 2), Expected("World", "length", 2)]]


def job(name: str = "job_1", **columns: object) -> JobRow:
    row = JobRow(name, "tenant", "succeeded", 0, 4, 3, started=True, error="", key="key", work=0, intent="plain")
    return replace(row, **columns)  # type: ignore[arg-type]


def step(old: str | None, new: str, fences: tuple[int | None, int], login: str = ONE, name: str = "job_1") -> Step:
    return Step(name, 0.0, login, old, new, fences[0], fences[1], logged=0)


def write(offset: int, tokens: int, fence: int = 1, login: str = ONE, state: str = "running") -> Write:
    return Write("job_1", 0.0, login, offset, tokens, state, fence)


MADE = step(None, "queued", (None, 0), SCHEDULER)
CLAIMED = step("queued", "running", (0, 1))
DONE = step("running", "succeeded", (1, 1))


@dataclass(frozen=True)
class Story:
    """A run of one job in which nothing went wrong; tests tell it differently."""

    events: Sequence[Event] = (
        Event(1.0, "tenant", SUBMIT, None, key="key", error="ReadError"),
        Event(2.0, "tenant", SUBMIT, 202, key="key", job="job_1", state="queued"),
        Event(3.0, "tenant", READ, 200, job="job_1", state="succeeded", texts=["Hello World"]),
    )
    jobs: Sequence[JobRow] = field(default_factory=lambda: [job()])
    bills: Sequence[Bill] = (Bill("job_1", 4, 3, settled=True),)
    steps: Sequence[Step] = (MADE, CLAIMED, DONE)
    writes: Sequence[Write] = (write(0, 1), write(1, 2))
    logs: Sequence[LogRow] = (LogRow(0, 1), LogRow(1, 2))
    pieces: Sequence[Piece] = (Piece(0, (1, 2, 3), "Hello World", "length"),)

    def told(self) -> list[Violation]:
        logs, pieces = {"job_1": list(self.logs)}, {"job_1": list(self.pieces)}
        evidence = Evidence(self.jobs, self.bills, self.steps, self.writes, logs, pieces)
        return check(self.events, evidence, TEXTS)


def kinds(story: Story) -> set[str]:
    return {violation.kind for violation in story.told()}


def test_a_sound_run_has_no_violation() -> None:
    assert Story().told() == []


def test_a_job_resumed_by_another_worker_is_sound() -> None:
    story = Story(
        steps=(
            MADE,
            CLAIMED,
            step("running", "queued", (1, 2), SCHEDULER),
            step("queued", "running", (2, 3), OTHER),
            step("running", "succeeded", (3, 3), OTHER),
        ),
        writes=(write(0, 1), write(1, 2, fence=3, login=OTHER)),
    )

    assert story.told() == []


def test_a_compacted_log_is_sound() -> None:
    rewritten = write(0, 3, login=SCHEDULER, state="succeeded")

    assert Story(writes=(write(0, 1), write(1, 2), rewritten), logs=(LogRow(0, 3),)).told() == []


Change = Callable[[], Story]

WRONG: dict[str, tuple[str, Change]] = {
    "an acknowledged job that is not there": (
        "lost",
        lambda: Story(jobs=(), bills=(), steps=(), writes=(), logs=(), pieces=()),
    ),
    "two jobs of one key": (
        "doubled",
        lambda: Story(jobs=[job(), job("job_2", state="succeeded", completion_tokens=0)]),
    ),
    "one key answered with two jobs": (
        "doubled",
        lambda: Story(events=(*Story().events, Event(4.0, "tenant", SUBMIT, 202, key="key", job="job_2"))),
    ),
    "a job that nobody asked for": ("unasked", lambda: Story(jobs=[job(key="another")])),
    "a job that never ends": (
        "unfinished",
        lambda: Story(jobs=[job(state="running")], steps=(MADE, CLAIMED)),
    ),
    "an end that is changed": (
        "changed_after_end",
        lambda: Story(steps=(MADE, CLAIMED, DONE, step("succeeded", "failed", (1, 1)))),
    ),
    "an end that is written again": (
        "changed_after_end",
        lambda: Story(steps=(MADE, CLAIMED, DONE, step("succeeded", "succeeded", (1, 1)))),
    ),
    "two ends": ("ended_twice", lambda: Story(steps=(MADE, CLAIMED, DONE, DONE))),
    "a plain job that fails": ("wrong_end", lambda: Story(jobs=[job(state="failed", error="worker_lost")])),
    "a poison that fails for another reason": (
        "wrong_end",
        lambda: Story(jobs=[job(state="failed", error="engine_error", intent=checker.POISON)]),
    ),
    "a gap in the log": ("log", lambda: Story(logs=(LogRow(0, 1), LogRow(2, 1)))),
    "an overlap in the log": ("log", lambda: Story(logs=(LogRow(0, 2), LogRow(1, 2)))),
    "a log shorter than what was delivered": ("log", lambda: Story(logs=(LogRow(0, 1),))),
    "a write under a fence that another holds": (
        "stale_write",
        lambda: Story(writes=(write(0, 1, login=OTHER), write(1, 2))),
    ),
    "a write after the end": (
        "stale_write",
        lambda: Story(writes=(write(0, 1), write(1, 2, state="succeeded"))),
    ),
    "a write after the job was put back": (
        "stale_write",
        lambda: Story(writes=(write(0, 1), write(1, 2, fence=2, state="queued"))),
    ),
    "an end by a worker that does not hold the job": (
        "stale_write",
        lambda: Story(steps=(MADE, CLAIMED, step("running", "succeeded", (1, 1), OTHER))),
    ),
    "a log rewritten while the job runs": (
        "stale_write",
        lambda: Story(writes=(*Story().writes, write(0, 3, login=SCHEDULER))),
    ),
    "another text": ("text", lambda: Story(pieces=(Piece(0, (1, 2, 3), "Hello There", "length"),))),
    "a text that is not whole": ("text", lambda: Story(pieces=(Piece(0, (1, 2, 3), "Hello World"),))),
    "a piece too few": ("text", lambda: Story(jobs=[job(work=1)])),
    "the beginning of another text": (
        "text",
        lambda: Story(
            jobs=[job(state="cancelled", intent=checker.CANCELLED)],
            pieces=(Piece(0, (1, 2, 3), "Hello There"),),
        ),
    ),
    "a job without a ledger entry": ("ledger", lambda: Story(bills=())),
    "two ledger entries": ("ledger", lambda: Story(bills=Story().bills * 2)),
    "a ledger entry without a job": (
        "ledger",
        lambda: Story(bills=(*Story().bills, Bill("job_2", None, None, settled=False))),
    ),
    "an entry that is not settled": ("ledger", lambda: Story(bills=(Bill("job_1", None, None, settled=False),))),
    "an entry settled too soon": ("ledger", lambda: Story(jobs=[job(state="running")])),
    "another bill than the delivery": ("ledger", lambda: Story(bills=(Bill("job_1", 4, 2, settled=True),))),
    "a prompt billed that never ran": ("ledger", lambda: Story(jobs=[job(started=False)])),
    "a client that saw another end": (
        "told",
        lambda: Story(events=(*Story().events, Event(4.0, "tenant", READ, 200, job="job_1", state="cancelled"))),
    ),
    "a client that saw another text": (
        "told",
        lambda: Story(
            events=(*Story().events, Event(4.0, "tenant", READ, 200, job="job_1", state="succeeded", texts=["No"]))
        ),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_found(what: str) -> None:
    kind, story = WRONG[what]

    assert kind in kinds(story())


def test_every_kind_of_violation_has_its_story() -> None:
    found = {kind for kind, _ in WRONG.values()}

    assert found == {
        "lost", "doubled", "unasked", "unfinished", "changed_after_end", "ended_twice", "wrong_end", "log",
        "stale_write", "text", "ledger", "told",
    }  # fmt: skip


def test_a_cancelled_job_may_keep_the_beginning_of_its_text() -> None:
    cancelled = step("running", "cancelled", (1, 2), SCHEDULER)
    story = Story(
        events=Story().events[:2],
        jobs=[job(state="cancelled", intent=checker.CANCELLED, completion_tokens=1)],
        bills=[Bill("job_1", 4, 1, settled=True)],
        steps=(MADE, CLAIMED, cancelled),
        writes=(write(0, 1),),
        logs=(LogRow(0, 1),),
        pieces=(Piece(0, (1,), "Hello"),),
    )

    assert story.told() == []
