"""Proves, from what the clients were told and what the database holds, that every promise was kept.

Pure functions: each takes history or evidence and returns the violations it finds.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from chaos.audit import PREFIX
from chaos.evidence import Bill, Evidence, JobRow, LogRow
from chaos.history import SUBMIT, Event
from quire.pieces import Piece

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})

# How a job may end, by what its client meant: the state, and the code of its error.
PLAIN, CANCELLED, DEADLINE, HELD, POISON, RAISING = "plain", "cancelled", "deadline", "held", "poison", "raising"
ENDS = {
    PLAIN: {("succeeded", "")},
    HELD: {("succeeded", "")},
    CANCELLED: {("succeeded", ""), ("cancelled", "")},
    DEADLINE: {("succeeded", ""), ("expired", "")},
    POISON: {("failed", "worker_lost")},
    RAISING: {("failed", "engine_error")},
}


@dataclass(frozen=True)
class Violation:
    """A promise that was broken; `kind` names the promise."""

    kind: str
    job: str
    detail: str


@dataclass(frozen=True)
class Expected:
    """One piece as it is without faults."""

    text: str
    finish: str | None
    tokens: int


Texts = Sequence[Sequence[Expected]]


def check(events: Sequence[Event], evidence: Evidence, texts: Texts) -> list[Violation]:
    """Return every violation. `texts`: of each work, its pieces without faults."""
    return list(
        chain(
            acknowledged(events, evidence),
            made_once(events, evidence),
            ended_once(evidence),
            ended_as_meant(evidence),
            written_once(evidence),
            fenced(evidence),
            same_texts(evidence, texts),
            billed(evidence),
            told_the_truth(events, evidence),
        )
    )


def acknowledged(events: Sequence[Event], evidence: Evidence) -> Iterator[Violation]:
    """Every job that a client was told of is there."""
    there = {job.id for job in evidence.jobs}
    told = {event.job: event for event in events if event.accepted and event.job}
    for job, event in told.items():
        if job not in there:
            yield Violation("lost", job, f"acknowledged with {event.status} for {event.what}")


def made_once(events: Sequence[Event], evidence: Evidence) -> Iterator[Violation]:
    """A key made one job, whoever was told of it; and no job is there that nobody asked for."""
    told: dict[tuple[str, str], set[str]] = {}
    asked = set()
    for event in events:
        if event.what == SUBMIT:
            asked.add((event.tenant, event.key))
            if event.accepted:
                told.setdefault((event.tenant, event.key), set()).add(event.job)
    made = Counter((job.tenant, job.key) for job in evidence.jobs)
    for (tenant, key), count in made.items():
        if count > 1:
            yield Violation("doubled", key, f"{count} jobs of {tenant} came of one Idempotency-Key")
    for (_, key), jobs in told.items():
        if len(jobs) > 1:
            yield Violation("doubled", key, f"the key was answered with {sorted(jobs)}")
    for job in evidence.jobs:
        if (job.tenant, job.key) not in asked:
            yield Violation("unasked", job.id, f"nobody of {job.tenant} sent the key {job.key!r}")


def ended_once(evidence: Evidence) -> Iterator[Violation]:
    """Each job has reached one terminal state, once, and was not touched after."""
    ends: Counter[str] = Counter()
    for step in evidence.steps:
        if step.old_state in TERMINAL:
            change = f"{step.old_state} became {step.new_state}, by {step.login}"
            yield Violation("changed_after_end", step.job, change)
        elif step.new_state in TERMINAL:
            ends[step.job] += 1
    for job in evidence.jobs:
        if job.state not in TERMINAL:
            yield Violation("unfinished", job.id, f"is {job.state}")
        elif ends[job.id] != 1:
            yield Violation("ended_twice", job.id, f"reached a terminal state {ends[job.id]} times")


def ended_as_meant(evidence: Evidence) -> Iterator[Violation]:
    """Nothing failed but what was to fail, and that for its own reason."""
    for job in evidence.jobs:
        if job.state in TERMINAL and (job.state, job.error) not in ENDS[job.intent]:
            yield Violation("wrong_end", job.id, f"{job.intent}, and ended {job.state} {job.error}".rstrip())


def written_once(evidence: Evidence) -> Iterator[Violation]:
    """The text log has neither gaps nor overlaps, and is as long as what was delivered."""
    for job in evidence.jobs:
        rows = evidence.logs.get(job.id, [])
        end, fault = _end(rows)
        if fault:
            yield Violation("log", job.id, fault)
        kept = sum(len(piece.ids) for piece in evidence.pieces.get(job.id, ()))
        if job.state in TERMINAL and not end == kept == job.completion_tokens:
            counts = f"rows for {end} tokens, ids of {kept}, {job.completion_tokens} delivered"
            yield Violation("log", job.id, counts)


def _end(rows: Sequence[LogRow]) -> tuple[int, str]:
    end = 0
    for row in rows:
        if row.offset != end:
            return end, f"a row at {row.offset} where {end} was next"
        end += row.tokens
    return end, ""


def fenced(evidence: Evidence) -> Iterator[Violation]:
    """Whatever a worker wrote, it wrote while it held the job."""
    holders: dict[tuple[str, int], str] = {}
    for step in evidence.steps:
        if step.new_state == "running" and step.old_state == "queued":
            holders[step.job, step.new_fence] = step.login
    for step in evidence.steps:
        by_worker = step.login.startswith(PREFIX) and step.old_state == "running"
        if by_worker and holders.get((step.job, step.old_fence or 0)) != step.login:
            detail = f"{step.login} made it {step.new_state} under fence {step.old_fence}, which it did not hold"
            yield Violation("stale_write", step.job, detail)
    for write in evidence.writes:
        if not write.login.startswith(PREFIX):
            if write.state not in TERMINAL:
                yield Violation("stale_write", write.job, f"{write.login} rewrote the log of a {write.state} job")
        elif write.state != "running" or holders.get((write.job, write.fence)) != write.login:
            detail = f"{write.login} wrote at {write.offset}; the job was {write.state} under fence {write.fence}"
            yield Violation("stale_write", write.job, detail)


def same_texts(evidence: Evidence, texts: Texts) -> Iterator[Violation]:
    """What succeeded has the text it has without faults, whole; what was ended early has its beginning."""
    for job in evidence.jobs:
        if job.state not in TERMINAL or job.intent in (POISON, RAISING):
            continue
        pieces, expected = evidence.pieces.get(job.id, []), texts[job.work]
        if job.state == "succeeded":
            if [Expected(piece.text, piece.finish, len(piece.ids)) for piece in pieces] != list(expected):
                yield Violation("text", job.id, f"work {job.work}: not the text of a run without faults")
        elif not all(_begins(piece, expected) for piece in pieces):
            yield Violation("text", job.id, f"work {job.work}: not the beginning of a run without faults")


def _begins(piece: Piece, expected: Sequence[Expected]) -> bool:
    return piece.index < len(expected) and expected[piece.index].text.startswith(piece.text)


def billed(evidence: Evidence) -> Iterator[Violation]:
    """Each job has one ledger entry, settled when it ended, for what it was delivered."""
    bills = {bill.job: bill for bill in evidence.bills}
    counts = Counter(bill.job for bill in evidence.bills)
    for job in evidence.jobs:
        if counts[job.id] != 1:
            yield Violation("ledger", job.id, f"{counts[job.id]} entries")
        elif fault := _bill_fault(job, bills[job.id]):
            yield Violation("ledger", job.id, fault)
    for job_id in counts.keys() - {job.id for job in evidence.jobs}:
        yield Violation("ledger", job_id, "an entry without a job")


def _bill_fault(job: JobRow, bill: Bill) -> str:
    if bill.settled != (job.state in TERMINAL):
        return f"{'settled' if bill.settled else 'open'} while the job is {job.state}"
    billed_for = (bill.prompt_tokens, bill.completion_tokens)
    due = (job.prompt_tokens if job.started else 0, job.completion_tokens)
    return f"billed {billed_for} where {due} are due" if bill.settled and billed_for != due else ""


def told_the_truth(events: Sequence[Event], evidence: Evidence) -> Iterator[Violation]:
    """An end that a client has seen is the end that there was, with the same texts."""
    jobs = {job.id: job for job in evidence.jobs}
    for event in events:
        job = jobs.get(event.job)
        if job is None or event.state not in TERMINAL:
            continue
        if event.state != job.state:
            yield Violation("told", job.id, f"a client saw {event.state}, and it is {job.state}")
        elif list(event.texts) != [piece.text for piece in evidence.pieces.get(job.id, ())]:
            yield Violation("told", job.id, "a client saw another text")
