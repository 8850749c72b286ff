"""How every step out of a live state ends: moved, settled, its lane corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from quire import fairness, ids
from quire.responses import status_of
from quire.store import Job, job_steps, ledger
from quire.store import chunk as chunks
from quire.store import lane as lanes
from quire.store.job import State
from quire.store.job_steps import Move
from quire.store.lane import Change, LaneKey
from quire.webhooks.events import News, tell

NO_TURNS: Mapping[LaneKey, int] = MappingProxyType({})


@dataclass(frozen=True)
class Step:
    """A move, and the work of the claim that it ends; None if the job was not running."""

    move: Move
    work: int | None


def end_by_decree(session: Session, doomed: Sequence[Job], state: State) -> None:
    """End locked jobs whatever they do, with the text that is committed by now; what is read of them is stale."""
    ends = chunks.ends(session, [job.id for job in doomed])
    steps = []
    for job in doomed:
        logged = ends[job.id].offset
        work = None
        if job.state == State.RUNNING:
            work = fairness.work_unheard(job.prompt_tokens, job.max_tokens, job.estimate, logged)
        steps.append(Step(Move(job.id, state, completion_tokens=logged, new_fence=True), work=work))
    take(session, steps)


def put_back(session: Session, running: Sequence[Job]) -> None:
    """Take locked jobs from their workers and queue them again: no attempt is counted, and their text stays."""
    ends = chunks.ends(session, [job.id for job in running])
    take(session, [
        Step(
            Move(job.id, State.QUEUED, new_fence=True),
            work=fairness.work_unheard(job.prompt_tokens, job.max_tokens, job.estimate, ends[job.id].offset),
        )
        for job in running
    ])  # fmt: skip
    for job in running:
        session.refresh(job)


def take(session: Session, steps: Sequence[Step], turns: Mapping[LaneKey, int] = NO_TURNS) -> None:
    """Move locked jobs, settle the terminal ones and tell of them, correct their lanes, wake those put back.

    `turns`: work of jobs that run on, by lane. Together with the others, because lanes are locked once.
    """
    if not steps:
        lanes.adjust(session, [(lane, Change.turn(work)) for lane, work in turns.items()])
        return
    by_id = {step.move.id: step for step in steps}
    moved = [(row, by_id[row.id]) for row in job_steps.move(session, [step.move for step in steps])]
    bills = [
        (row.id, row.prompt_tokens if row.started_at else 0, step.move.completion_tokens)
        for row, step in moved
        if step.move.state.is_terminal
    ]
    changes = [
        (LaneKey(row.model, row.tenant_id), Change.ended(row.charged, step.work))
        for row, step in moved
        if step.work is not None
    ]
    changes += [(lane, Change.turn(work)) for lane, work in turns.items()]
    ledger.settle(session, bills)
    # An item's end is told with its batch's.
    tell(session, [
        _news(row, step.move) for row, step in moved if step.move.state.is_terminal and row.batch_id is None
    ])  # fmt: skip
    lanes.adjust(session, changes)
    lanes.wake(
        session, [LaneKey(row.model, row.tenant_id) for row, step in moved if not step.move.state.is_terminal]
    )


def _news(row: Any, move: Move) -> News:
    """Return what is told of a job's end, once, and as what it was asked for."""
    if row.background:
        status = status_of(move.state, cut=move.cut)
        return News(row.tenant_id, f"response.{status}", ids.show(ids.RESPONSE, row.id))
    return News(row.tenant_id, f"job.{move.state}", ids.show(ids.JOB, row.id))
