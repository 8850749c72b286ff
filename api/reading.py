"""Reading jobs: rows, sealed bodies and text logs, put together into what is shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import presenter, queries, responses
from api.binding import Volume
from api.cursors import place, position
from api.presenter import Facts
from api.schemas import JobQuery
from api.waiting import Mark
from quire import artifacts, ids, pieces, standing, store, textlog
from quire.asking.books import Earlier
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import Conflict, NotFound
from quire.pieces import Piece
from quire.spec import Spec
from quire.standing import Standing
from quire.store import Job, Tenant, artifact, chunk, job_steps, waiting
from quire.store.chunk import START, Position
from quire.store.job import Kind, State
from quire.textlog import Passage

MOST_BEFORE = 20_000  # tokens of an earlier book that another one remembers


@dataclass(frozen=True)
class Delivered:
    """How far a job is, and its pieces."""

    state: State
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Look:
    """How far a job is, and passages of its log: all, if `whole`."""

    row: Job
    standing: Standing
    passages: Sequence[Passage]
    whole: bool


@dataclass(frozen=True)
class Artifact:
    """A file of a job: what it is, and how its bytes are read."""

    database: Database
    tenant_id: UUID
    row: store.Artifact
    key: DataKey
    sha256: str

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `end`, a part at a time, each in a transaction of its own."""

        def part(number: int) -> bytes | None:
            with self.database.tenant(self.tenant_id) as session:
                return artifact.part(session, self.row.job_id, self.row.name, number)

        return artifacts.pieces_of(self.row, self.key, part, start, end)


class JobReader:
    """Each method but `marks` is one transaction of the tenant. NotFound: it is not the tenant's."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    def one(self, tenant_id: UUID, job_id: UUID) -> responses.Job:
        with self._database.tenant(tenant_id) as session:
            row, key = self._find(session, tenant_id, job_id)
            return self.present(session, row, key)

    def one_with_spec(self, tenant_id: UUID, job_id: UUID) -> tuple[responses.Job, Spec]:
        """Return a job, and all that was asked for."""
        with self._database.tenant(tenant_id) as session:
            row, key = self._find(session, tenant_id, job_id)
            return self.present(session, row, key), _open(row, key)

    def present(self, session: Session, row: Job, key: DataKey) -> responses.Job:
        """Put a job together inside its tenant's transaction."""
        written = _pieces(session, row, key)
        facts = Facts(
            spec=_open(row, key),
            tokens=row.completion_tokens if row.state.is_terminal else _tokens(written),
            now=datetime.now(UTC),
            standing=_standing(session, row),
        )
        return presenter.job(row, facts, written, _artifacts(session, row, key))

    def artifacts(self, tenant_id: UUID, job_id: UUID) -> responses.ArtifactList:
        """Return what the job has made; nothing before it is over."""
        with self._database.tenant(tenant_id) as session:
            row, key = self._find(session, tenant_id, job_id)
            return responses.ArtifactList(data=_artifacts(session, row, key))

    def artifact(self, tenant_id: UUID, job_id: UUID, name: str) -> Artifact:
        """Return a file of a job that is over, to be read.

        Raises:
            Conflict: the job is not over, or the file could not be made.

        """
        with self._database.tenant(tenant_id) as session:
            job, key = self._find(session, tenant_id, job_id)
            if not job.state.is_terminal:
                raise Conflict(f"The job is {job.state} and has no artifacts yet.")
            row = artifact.named(session, job_id, name)
            if row is None:
                raise NotFound
            if row.unavailable is not None:
                raise Conflict(f"{name} could not be made: {row.unavailable}")
            return Artifact(self._database, tenant_id, row, key, artifacts.sha256(row, key) or "")

    def shown(self, session: Session, row: Job) -> responses.Job:
        """Put a job together that the caller's transaction has at hand."""
        return self.present(session, row, self._key(session, row.tenant_id))

    def volume(self, tenant_id: UUID, job_id: UUID) -> Volume:
        """Return what a book that is over has come to, to be bound.

        Raises:
            Conflict: the job is no book, is not over, or has written nothing.

        """
        with self._database.tenant(tenant_id) as session:
            row, key = self._find(session, tenant_id, job_id)
            plan = _open(row, key).longform
            if plan is None:
                raise Conflict("The job is no book.")
            written = _pieces(session, row, key) if row.state.is_terminal else []
            if row.finished_at is None or not written:
                raise Conflict(f"The job is {row.state} and has no finished text.")
            return presenter.volume(row, plan, written, row.finished_at)

    def earlier(self, session: Session, tenant_id: UUID, job_id: UUID) -> Earlier:
        """Return what another job needs to go on with a book, inside its tenant's transaction.

        Raises:
            NotFound: the tenant has no such job.
            Conflict: it is no book, is not over, or has written nothing.

        """
        row, key = self._find(session, tenant_id, job_id)
        spec = _open(row, key)
        if spec.longform is None:
            raise Conflict("The job is no book.")
        written = _pieces(session, row, key) if row.state.is_terminal else []
        if not written:
            raise Conflict(f"The job is {row.state} and has no finished text.")
        tokens = [*spec.before, *(token for piece in written for token in piece.ids)]
        return Earlier(ids.show(ids.JOB, row.id), row.model, spec, spec.longform, tuple(tokens[-MOST_BEFORE:]))

    def is_terminal(self, tenant_id: UUID, job_id: UUID) -> bool:
        with self._database.tenant(tenant_id) as session:
            state = session.scalar(select(Job.state).where(Job.id == job_id, Job.tenant_id == tenant_id))
        if state is None:
            raise NotFound
        return state.is_terminal

    def marks(self, job_ids: Sequence[UUID]) -> dict[UUID, Mark]:
        """Return where the jobs stand, of any tenants: for the waiting room, never for answers."""
        with self._database.service() as session:
            return {job: Mark(*step) for job, step in queries.steps(session, job_ids).items()}

    def look(self, tenant_id: UUID, job_id: UUID, after: Position | None) -> Look:
        """See how far a job is, with what its log has gained from `after` on, or all of it.

        All of it is read as well when the job is over, for its log may then have been joined into one row.
        """
        with self._database.tenant(tenant_id) as session:
            row, key = self._find(session, tenant_id, job_id)
            whole = after is None or row.state.is_terminal
            log = (
                chunk.of_jobs(session, [row.id])[row.id] if whole else chunk.since(session, row.id, after or START)
            )
            return Look(row, _standing(session, row), textlog.passages(log, key), whole)

    def delivered(self, tenant_id: UUID, job_id: UUID) -> Delivered:
        with self._database.tenant(tenant_id) as session:
            row, key = self._find(session, tenant_id, job_id)
            return Delivered(row.state, _pieces(session, row, key) if row.state.is_terminal else ())

    def page(self, tenant_id: UUID, query: JobQuery) -> responses.JobPage:
        wanted = queries.JobFilter(query.state, query.kind, query.model, query.created_after, query.created_before)
        before = position(ids.JOB, query.after)
        with self._database.tenant(tenant_id) as session:
            key = self._key(session, tenant_id)
            rows = queries.newest_jobs(session, tenant_id, wanted, before=before, limit=query.limit + 1)
            shown = self._in_list(session, key, rows[: query.limit])
        return responses.JobPage(
            data=shown,
            **place(ids.JOB, rows, query.limit),
        )

    def _in_list(self, session: Session, key: DataKey, rows: Sequence[Job]) -> list[responses.JobInList]:
        now = datetime.now(UTC)
        # A queued job may have text as well, from a worker that it lost.
        ends = chunk.ends(session, [row.id for row in rows if row.started_at and not row.state.is_terminal])
        waiting_rows = [row for row in rows if standing.waits(row)]
        places = waiting.places(session, rows[0].tenant_id, waiting_rows) if rows else {}
        return [
            presenter.job_in_list(
                row,
                Facts(
                    spec=_open(row, key),
                    tokens=ends[row.id].offset if row.id in ends else row.completion_tokens,
                    now=now,
                    standing=_place(row, places),
                ),
            )
            for row in rows
        ]

    def _find(self, session: Session, tenant_id: UUID, job_id: UUID) -> tuple[Job, DataKey]:
        found = job_steps.of_tenant_with_key(session, tenant_id, job_id)
        if found is None:
            raise NotFound
        job, tenant = found
        return job, self._ring.unwrap(tenant.wrapped_key, tenant_id)

    def _key(self, session: Session, tenant_id: UUID) -> DataKey:
        return self._ring.unwrap(session.get_one(Tenant, tenant_id).wrapped_key, tenant_id)


def _standing(session: Session, row: Job) -> Standing:
    if standing.waits(row):
        return standing.stand(row, waiting.ahead_of(session, row), waiting.view(session, row))
    return Standing(blocked_by=standing.held_by(row))


def _place(row: Job, places: Mapping[UUID, int | None]) -> Standing:
    """Say what is cheap to know for many jobs at once."""
    if row.id not in places:
        return Standing(blocked_by=standing.held_by(row))
    place = places[row.id]
    return Standing(position=place or waiting.EXACT, more=place is None)


def _open(row: Job, key: DataKey) -> Spec:
    return Spec.decode(key.open(row.body, f"job:{row.id}"))


def _pieces(session: Session, row: Job, key: DataKey) -> list[Piece]:
    if row.started_at is None:  # nobody can have written
        return []
    return pieces.fold(textlog.read(chunk.of_jobs(session, [row.id])[row.id], key))


def _artifacts(session: Session, row: Job, key: DataKey) -> list[responses.Artifact]:
    if row.kind is not Kind.MUSIC or not row.state.is_terminal:
        return []
    return [presenter.artifact(each, key) for each in artifact.of_job(session, row.id)]


def _tokens(written: Sequence[Piece]) -> int:
    return sum(len(piece.ids) for piece in written)
