"""Jobs: submit, list, look, wait, read, cancel, delete."""

from collections.abc import Callable
from uuid import UUID

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session

from api import replies, responses, streaming
from api.auth import Scope
from api.binding import ENDINGS, MEDIA, bound
from api.conditional import etag, idempotency_key, still_holds
from api.prefer import wait_seconds
from api.schemas import BookQuery, EventsQuery, JobQuery, OutputQuery
from api.services import Services
from api.validation import checked_query
from quire import ids, jobs
from quire.errors import Conflict, InvalidField, NotFound
from quire.store import Job

BETWEEN_PIECES = "* * *"


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")
    answers = JobRoutes(services)
    routes.post("")(answers.submit)
    routes.post("/bulk")(answers.submit_many)
    routes.post("/plan")(answers.plan)
    routes.get("")(answers.index)
    routes.get("/<job_id>")(answers.show)
    routes.get("/<job_id>/events")(answers.events)
    routes.get("/<job_id>/output")(answers.output)
    routes.get("/<job_id>/book")(answers.book)
    routes.post("/<job_id>/cancel")(answers.cancel)
    routes.post("/<job_id>/pause")(answers.pause)
    routes.post("/<job_id>/resume")(answers.resume)
    routes.delete("/<job_id>")(answers.delete)
    return routes


class JobRoutes:
    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._bodies = services.bodies
        self._bulk_bodies = services.bulk_bodies
        self._submissions = services.submissions
        self._bulk_submissions = services.bulk_submissions
        self._reader = services.reader
        self._waiting = services.waiting
        self._follower = services.follower
        self._authenticator = services.authenticator

    def submit(self) -> Response:
        tenant = self._tenant(Scope.WRITE)
        key, body = idempotency_key(request), self._bodies.read(request)
        accepted = self._submissions.submit(tenant, body, key)
        job = _id(accepted.job.id)
        waited = self._wait_for_end(tenant, job)
        shown = accepted.job if waited is None else self._reader.one(tenant, job)
        answer = replies.job(shown, 202, waited=waited)
        answer.headers["Location"] = f"/v1/jobs/{shown.id}"
        if accepted.replayed:
            answer.headers["Idempotent-Replayed"] = "true"
        return answer

    def submit_many(self) -> Response:
        tenant = self._tenant(Scope.WRITE)
        request.max_content_length = self._bulk_bodies.limit + 1
        key, body = idempotency_key(request), self._bulk_bodies.read(request)
        accepted = self._bulk_submissions.submit(tenant, body, key)
        shown = [ids.show(ids.JOB, job) for job in accepted.ids]
        answer = replies.shown(responses.Bulk(count=len(shown), jobs=shown), 202)
        if accepted.replayed:
            answer.headers["Idempotent-Replayed"] = "true"
        return answer

    def plan(self) -> Response:
        """Say what a book would be, and queue nothing."""
        tenant = self._tenant(Scope.WRITE)
        return replies.shown(self._submissions.plan(tenant, self._bodies.read(request)))

    def index(self) -> Response:
        tenant = self._tenant(Scope.READ)
        return replies.shown(self._reader.page(tenant, checked_query(JobQuery, request.args)))

    def show(self, job_id: str) -> Response:
        tenant, job = self._tenant(Scope.READ), _id(job_id)
        # Who sends If-None-Match wants to know of any change; the others only of the end.
        wait = self._wait_for_change if request.if_none_match else self._wait_for_end
        waited = wait(tenant, job)
        return replies.job_if_changed(request, self._reader.one(tenant, job), waited=waited)

    def events(self, job_id: str) -> Response:
        tenant, job = self._tenant(Scope.READ), _id(job_id)
        after = streaming.asked(request, checked_query(EventsQuery, request.args).after)
        events = self._follower.follow(tenant, job, after, seconds=wait_seconds(request) or None)
        first = next(events)  # now, while an error can still be told
        streaming.drop_if_slow(request)
        answer = Response(streaming.frames(events, first), mimetype=streaming.MEDIA)
        answer.call_on_close(events.close)
        answer.headers["X-Accel-Buffering"] = "no"
        return answer

    def output(self, job_id: str) -> Response:
        tenant, job = self._tenant(Scope.READ), _id(job_id)
        wanted = checked_query(OutputQuery, request.args).piece
        delivered = self._reader.delivered(tenant, job)
        if not delivered.pieces:
            raise Conflict(f"The job is {delivered.state} and has no finished text.")
        texts = [piece.text for piece in delivered.pieces if wanted is None or piece.index == wanted]
        if not texts:
            raise InvalidField.one("piece", "The job has no such piece")
        return Response(f"\n{BETWEEN_PIECES}\n".join(texts), mimetype="text/plain")

    def book(self, job_id: str) -> Response:
        tenant, job = self._tenant(Scope.READ), _id(job_id)
        wanted = checked_query(BookQuery, request.args).format
        answer = Response(bound(self._reader.volume(tenant, job), wanted), mimetype=MEDIA[wanted])
        answer.headers["Content-Disposition"] = f'attachment; filename="{job_id}.{ENDINGS[wanted]}"'
        return answer

    def cancel(self, job_id: str) -> Response:
        return self._moved(job_id, jobs.cancel)

    def pause(self, job_id: str) -> Response:
        return self._moved(job_id, jobs.pause)

    def resume(self, job_id: str) -> Response:
        return self._moved(job_id, jobs.resume)

    def _moved(self, job_id: str, move: Callable[[Session, UUID, UUID], Job]) -> Response:
        tenant, job = self._tenant(Scope.WRITE), _id(job_id)
        with self._database.tenant(tenant) as session:
            shown = self._reader.shown(session, move(session, tenant, job))
        self._waiting.ring(job)
        return replies.job(shown)

    def delete(self, job_id: str) -> Response:
        tenant, job = self._tenant(Scope.WRITE), _id(job_id)
        with self._database.tenant(tenant) as session:
            jobs.delete(session, tenant, job)
        return Response(status=204)

    def _tenant(self, scope: Scope) -> UUID:
        return self._authenticator.tenant(request, scope).tenant_id

    def _wait_for_end(self, tenant: UUID, job: UUID) -> float | None:
        def settled() -> bool:
            return self._reader.is_terminal(tenant, job)

        return self._waiting.hold(job, settled, wait_seconds(request))

    def _wait_for_change(self, tenant: UUID, job: UUID) -> float | None:
        def settled() -> bool:
            now = self._reader.one(tenant, job)
            return now.state.is_terminal or not still_holds(request, etag(now))

        return self._waiting.hold(job, settled, wait_seconds(request), by_itself=True)


def _id(shown: str) -> UUID:
    job = ids.parse(ids.JOB, shown)
    if job is None:
        raise NotFound
    return job
