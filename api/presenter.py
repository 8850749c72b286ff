"""From rows to what is shown of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from api import responses
from api.binding import Chapter, Volume
from api.events import Moved
from quire import artifacts, ids, store
from quire.crypto import DataKey
from quire.longform import Plan, PlannedPart
from quire.pieces import Piece
from quire.spec import Parameters, Spec
from quire.standing import Standing
from quire.store.job import State
from quire.store.oversight import Trouble


@dataclass(frozen=True)
class Facts:
    """What is known of a job beside its row."""

    spec: Spec
    tokens: int  # written so far
    now: datetime
    standing: Standing


def job(
    row: store.Job, facts: Facts, pieces: Sequence[Piece], files: Sequence[responses.Artifact]
) -> responses.Job:
    texts = responses.Output(pieces=[piece(each) for each in pieces]) if pieces else None
    shown = job_in_list(row, facts)
    parts = _parts(facts.spec.longform, pieces) if facts.spec.longform else []
    return responses.Job(**dict(shown), input=_input(facts.spec), output=texts, parts=parts, artifacts=list(files))


def job_in_list(row: store.Job, facts: Facts) -> responses.JobInList:
    billed = row.prompt_tokens if row.started_at else 0
    return responses.JobInList(
        id=ids.show(ids.JOB, row.id),
        kind=row.kind,
        state=row.state,
        blocked_by=facts.standing.blocked_by,
        model=row.model,
        priority=row.priority,
        metadata=row.user_metadata,
        retention_hours=row.retention_hours,
        batch_id=ids.show(ids.BATCH, row.batch_id) if row.batch_id else None,
        parameters=_parameters(row.seed, facts.spec),
        queue=_queue(facts.standing),
        progress=responses.Progress(tokens=facts.tokens, max_tokens=row.max_tokens),
        attempts=row.attempts,
        numerics=row.numerics,
        numerics_changed=row.numerics_changed,
        created_at=row.created_at,
        not_before=row.not_before,
        deadline=row.deadline,
        started_at=row.started_at,
        finished_at=row.finished_at,
        timings=_timings(row, facts.now),
        usage=responses.Usage(
            prompt_tokens=billed, completion_tokens=facts.tokens, total_tokens=billed + facts.tokens
        ),
        error=responses.Failure(**row.error) if row.error else None,
    )


def piece(row: Piece) -> responses.JobPiece:
    logprobs = responses.PieceLogprobs(**asdict(row.logprobs)) if row.logprobs else None
    return responses.JobPiece(
        index=row.index,
        text=row.text,
        tokens=len(row.ids),
        finish_reason=row.finish,
        logprobs=logprobs,
    )


def moved(event: Moved) -> responses.StateEvent:
    eta = responses.Eta(p50=event.eta.p50, p90=event.eta.p90) if event.eta else None
    return responses.StateEvent(
        state=event.state,
        blocked_by=event.blocked_by,
        queue=responses.Queue(position=event.position, more=event.more, eta=eta),
        attempts=event.attempts,
        error=responses.Failure(**event.error) if event.error else None,
    )


def tenant(row: store.Tenant) -> responses.Tenant:
    return responses.Tenant(
        id=ids.show(ids.TENANT, row.id),
        name=row.name,
        weight=row.weight,
        max_running=row.max_running,
        max_queued=row.max_queued,
        max_tokens_per_day=row.max_tokens_per_day,
        max_requests_per_minute=row.max_requests_per_minute,
        paused=row.paused,
        retention_days=row.retention_days,
        created_at=row.created_at,
        suspended_at=row.suspended_at,
        deleted_at=row.deleted_at,
    )


def receipt(row: store.Receipt) -> responses.Receipt:
    return responses.Receipt(
        tenant_id=ids.show(ids.TENANT, row.tenant_id),
        name=row.name,
        request_id=row.request_id,
        key_fingerprint=row.key_fingerprint,
        keys=row.keys,
        jobs=row.jobs,
        chunks=row.chunks,
        artifacts=row.artifacts,
        created_at=row.created_at,
        completed_at=row.completed_at,
    )


def key(row: store.ApiKey) -> responses.Key:
    return responses.Key(
        id=ids.show(ids.KEY, row.id),
        tenant_id=ids.show(ids.TENANT, row.tenant_id),
        name=row.name,
        prefix=row.prefix,
        scopes=row.scopes,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def worker(row: Any) -> responses.Worker:
    return responses.Worker(
        id=ids.show(ids.WORKER, row.id),
        model=row.model,
        host=row.host,
        pid=row.pid,
        slots=row.slots,
        running=row.running,
        draining=row.draining,
        live=row.lease_left > 0,
        lease_seconds=round(row.lease_left, 3),
        numerics=row.numerics,
        started_at=row.started_at,
    )


def stuck(row: Any) -> responses.StuckJob:
    return responses.StuckJob(
        id=ids.show(ids.JOB, row.id),
        tenant_id=ids.show(ids.TENANT, row.tenant_id),
        model=row.model,
        state=State(row.state),
        why=[Trouble(why) for why in row.why],
        since=row.since,
        attempts=row.attempts,
        worker_id=ids.show(ids.WORKER, row.worker_id) if row.worker_id else None,
    )


def _queue(standing: Standing) -> responses.Queue:
    eta = responses.Eta(p50=standing.eta.p50, p90=standing.eta.p90) if standing.eta else None
    return responses.Queue(position=standing.position, more=standing.more, eta=eta)


def artifact(row: store.Artifact, key: DataKey) -> responses.Artifact:
    return responses.Artifact(
        name=row.name,
        piece=row.piece,
        media_type=row.media_type,
        size=row.size,
        sha256=artifacts.sha256(row, key),
        unavailable=row.unavailable,
    )


def _parts(plan: Plan, pieces: Sequence[Piece]) -> list[responses.PartProgress]:
    written = {piece.index: piece for piece in pieces}
    return [_part(part, written.get(index)) for index, part in enumerate(plan.parts)]


def _part(part: PlannedPart, piece: Piece | None) -> responses.PartProgress:
    state: Literal["waiting", "writing", "written"] = "waiting"
    if piece is not None:
        state = "written" if piece.finish else "writing"
    return responses.PartProgress(
        heading=part.heading, state=state, tokens=len(piece.ids) if piece else 0, of=part.tokens
    )


def volume(row: store.Job, plan: Plan, pieces: Sequence[Piece], finished: datetime) -> Volume:
    return Volume(
        id=row.id,
        title=plan.title,
        subtitle=plan.premise,
        language=plan.language,
        verse=plan.verse,
        gap=plan.gap,
        chapters=tuple(Chapter(plan.parts[piece.index].heading, piece.text) for piece in pieces),
        model=row.model,
        seed=row.seed,
        finished=finished.astimezone(UTC),
    )


def planned(model: str, plan: Plan, prompt: str, prompt_tokens: int) -> responses.PlannedBook:
    return responses.PlannedBook(
        model=model,
        longform=plan,
        windows=sum(plan.windows(part) for part in plan.parts),
        max_tokens=plan.most_tokens,
        reserved_tokens=prompt_tokens + plan.most_tokens,
        prompt=prompt,
    )


def _input(spec: Spec) -> responses.JobInput:
    asked = spec.input
    return responses.JobInput(
        form=asked.form,
        title=asked.title,
        theme=asked.theme,
        style=asked.style,
        rules=asked.rules,
        prompt=asked.prompt,
        changes=asked.changes,
        music=spec.music,
        longform=spec.longform,
        continues=spec.continues,
    )


def _parameters(seed: int, spec: Spec) -> responses.JobParameters:
    drawn = {name: getattr(spec.parameters, name) for name in Parameters.model_fields}
    # Not checked again: they were when they were sent, and a range may have been narrowed since.
    return responses.JobParameters.model_construct(
        **drawn | {"best_of": spec.parameters.draws, "seed": seed, "truncate": spec.input.truncate}
    )


def _timings(row: store.Job, now: datetime) -> responses.Timings:
    end = row.finished_at or now
    running = _seconds(row.started_at, end) if row.started_at else None
    return responses.Timings(
        queued_seconds=_seconds(row.created_at, row.started_at or end), running_seconds=running
    )


def _seconds(start: datetime, end: datetime) -> float:
    """Return the time between, in seconds; never negative, where this machine's clock is behind Postgres's."""
    return max(0.0, round((end - start).total_seconds(), 6))
