"""Models: what jobs can run on."""

from flask import Blueprint, Response, request
from sqlalchemy import select
from sqlalchemy.orm import load_only

from api import replies, responses
from api.openai.errors import ModelNotFound
from api.services import Services
from quire.store import Model
from quire.store.job import Kind
from quire.store.model import live_workers

# All but the tokenizer, which is megabytes.
SHOWN = (
    Model.name,
    Model.created_at,
    Model.context_length,
    Model.vocab_size,
    Model.numerics,
    Model.kind,
    Model.renders,
    Model.sampling,
)


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("models", __name__, url_prefix="/v1/models")

    @routes.get("")
    def index() -> Response:
        return replies.shown(responses.ModelList(data=shown()))

    @routes.get("/<model_name>")
    def show(model_name: str) -> Response:
        for model in shown():
            if model.id == model_name:
                return replies.shown(model)
        raise ModelNotFound

    def shown() -> list[responses.Model]:
        caller = services.authenticator.tenant(request)
        with services.database.tenant(caller.tenant_id) as session:
            models = session.scalars(select(Model).options(load_only(*SHOWN)).order_by(Model.name)).all()
            workers = live_workers(session)
        return [
            responses.Model(
                id=model.name,
                created=int(model.created_at.timestamp()),
                context_length=model.context_length,
                vocab_size=model.vocab_size,
                kind=Kind(model.kind),
                renders=model.renders,
                sampling=model.sampling,
                numerics=model.numerics,
                workers=workers.get(model.name, 0),
                default=model.name == services.default_model,
            )
            for model in models
        ]

    return routes
