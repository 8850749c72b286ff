"""Schedules: make, list, look, edit, pause, run now, preview, look back, delete."""

from typing import TypeVar
from uuid import UUID

from flask import Blueprint, Response, request
from pydantic import BaseModel

from api import replies
from api.auth import Scope
from api.schedules.requests import OccurrenceQuery, PreviewQuery, PreviewRequest, ScheduleQuery, ScheduleRequest
from api.services import Services
from api.validation import checked_query
from quire import ids
from quire.asking.validation import checked
from quire.errors import NotFound

Asked = TypeVar("Asked", bound=BaseModel)


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("schedules", __name__, url_prefix="/v1/schedules")
    answers = ScheduleRoutes(services)
    routes.post("")(answers.make)
    routes.post("/preview")(answers.preview)
    routes.get("")(answers.index)
    routes.get("/<schedule_id>")(answers.show)
    routes.put("/<schedule_id>")(answers.edit)
    routes.delete("/<schedule_id>")(answers.delete)
    routes.post("/<schedule_id>/pause")(answers.pause)
    routes.post("/<schedule_id>/resume")(answers.resume)
    routes.post("/<schedule_id>/run")(answers.run)
    routes.get("/<schedule_id>/preview")(answers.upcoming)
    routes.get("/<schedule_id>/history")(answers.history)
    routes.get("/<schedule_id>/occurrences")(answers.occurrences)
    return routes


class ScheduleRoutes:
    def __init__(self, services: Services) -> None:
        self._authenticator = services.authenticator
        self._bodies = services.bulk_bodies  # rows make them large
        self._schedules = services.schedules

    def make(self) -> Response:
        tenant, wanted = self._tenant(Scope.WRITE), self._body(ScheduleRequest)
        return replies.shown(self._schedules.make(tenant, wanted), 201)

    def edit(self, schedule_id: str) -> Response:
        tenant, schedule = self._tenant(Scope.WRITE), _id(schedule_id)
        return replies.shown(self._schedules.edit(tenant, schedule, self._body(ScheduleRequest)))

    def preview(self) -> Response:
        tenant, wanted = self._tenant(Scope.READ), self._body(PreviewRequest)
        return replies.shown(self._schedules.preview(tenant, wanted))

    def index(self) -> Response:
        tenant = self._tenant(Scope.READ)
        return replies.shown(self._schedules.page(tenant, checked_query(ScheduleQuery, request.args)))

    def show(self, schedule_id: str) -> Response:
        return replies.shown(self._schedules.one(self._tenant(Scope.READ), _id(schedule_id)))

    def delete(self, schedule_id: str) -> Response:
        self._schedules.delete(self._tenant(Scope.WRITE), _id(schedule_id))
        return Response(status=204)

    def pause(self, schedule_id: str) -> Response:
        return replies.shown(self._schedules.pause(self._tenant(Scope.WRITE), _id(schedule_id), paused=True))

    def resume(self, schedule_id: str) -> Response:
        return replies.shown(self._schedules.pause(self._tenant(Scope.WRITE), _id(schedule_id), paused=False))

    def run(self, schedule_id: str) -> Response:
        return replies.shown(self._schedules.run(self._tenant(Scope.WRITE), _id(schedule_id)), 202)

    def upcoming(self, schedule_id: str) -> Response:
        tenant, schedule = self._tenant(Scope.READ), _id(schedule_id)
        count = checked_query(PreviewQuery, request.args).count
        return replies.shown(self._schedules.upcoming(tenant, schedule, count))

    def history(self, schedule_id: str) -> Response:
        return replies.shown(self._schedules.history(self._tenant(Scope.READ), _id(schedule_id)))

    def occurrences(self, schedule_id: str) -> Response:
        tenant, schedule = self._tenant(Scope.READ), _id(schedule_id)
        query = checked_query(OccurrenceQuery, request.args)
        return replies.shown(self._schedules.occurrences(tenant, schedule, query))

    def _body(self, model: type[Asked]) -> Asked:
        request.max_content_length = self._bodies.limit + 1
        return checked(model, self._bodies.read(request))

    def _tenant(self, scope: Scope) -> UUID:
        return self._authenticator.tenant(request, scope).tenant_id


def _id(shown: str) -> UUID:
    schedule = ids.parse(ids.SCHEDULE, shown)
    if schedule is None:
        raise NotFound
    return schedule
