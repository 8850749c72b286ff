"""The composition root: builds everything from the settings, once, and passes it in."""

from flask import Flask

from api.accounts import Accounts
from api.auth import Authenticator
from api.batches.opening import Opening
from api.batches.results import Results
from api.batches.retrying import Retrying
from api.batches.view import BatchReader
from api.body import BodyReader
from api.bulk import BulkSubmissions
from api.errors import answer_errors
from api.following import Follower
from api.intake import Intake, Wakes
from api.metrics import Metrics
from api.observing import observe
from api.openai import completions, files, responses
from api.openai.attending import Attending
from api.openai.batch_files import BatchFiles
from api.openai.batching import OpenAIBatches
from api.openai.orders import Orders
from api.openai.storing import Files
from api.oversight import Oversight
from api.rates import Rates
from api.readiness import Readiness, RedisHealth
from api.reading import JobReader
from api.routes import admin, artifacts, batches, docs, health, jobs, models, schedules, tenants, usage, webhooks
from api.schedules.keeping import Schedules
from api.services import BatchServices, Services
from api.submission import Submissions
from api.tenancy import Tenancy
from api.throttle import Failures
from api.waiting import Listens, WaitingRoom
from api.webhooks.deliveries import Deliveries
from api.webhooks.keeping import Endpoints
from quire.asking.drafting import Catalogue
from quire.asking.tokenizing import Tokenizers
from quire.batches import Limits
from quire.crypto import KeyRing
from quire.database import API_CONNECTIONS, Database
from quire.messages import READ, Notices
from quire.queue import Publisher
from quire.settings import Settings


def create_app(
    settings: Settings,
    *,
    database: Database | None = None,
    publisher: Wakes | None = None,
    notices: Listens | None = None,
) -> Flask:
    """Build the app. What is not passed in is made from the settings; nothing connects before the first request.

    Raises:
        ConfigurationError: the master keys are malformed.

    """
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    redis_url = settings.redis_url.get_secret_value()
    database = database or Database(settings.sqlalchemy_url, name="quire-api", pool_size=API_CONNECTIONS)
    reader = JobReader(database, ring)
    waiting = WaitingRoom(
        notices or Notices(redis_url),
        marks=reader.marks,
        seats=settings.max_waiters,
        longest=settings.max_wait_seconds,
        tell_read=Notices(redis_url, READ).send,
    )
    metrics = Metrics(database, waiting)
    publisher = publisher or Publisher(redis_url)
    catalogue = Catalogue(Tokenizers(), configured=tuple(settings.models), default_model=settings.default_model)
    intake = Intake(database, ring, catalogue, publisher, metrics.submitted)
    orders = Orders(intake)
    uploads = Files(database, ring, most_bytes=settings.max_file_bytes, most_stored=settings.max_stored_bytes)
    native = _batches(settings, database, ring, catalogue)
    services = Services(
        database=database,
        authenticator=Authenticator(
            database,
            settings.admin_token,
            rates=Rates(redis_url),
            failures=Failures(settings.bad_keys_per_minute),
            proxies=settings.proxies,
        ),
        bodies=BodyReader(settings.max_body_bytes),
        bulk_bodies=BodyReader(settings.max_bulk_bytes),
        submissions=Submissions(intake, reader),
        bulk_submissions=BulkSubmissions(intake),
        batches=native,
        schedules=Schedules(database, ring, catalogue, most=settings.max_schedules),
        endpoints=Endpoints(database, ring, allow_private=settings.webhook_private, most=settings.max_webhooks),
        deliveries=Deliveries(database),
        reader=reader,
        waiting=waiting,
        follower=Follower(
            reader, waiting, longest=settings.max_stream_seconds, heartbeat=settings.stream_heartbeat_seconds
        ),
        orders=orders,
        files=uploads,
        openai_batches=OpenAIBatches(
            database=database,
            files=uploads,
            opening=native.opening,
            orders=orders,
            most_items=settings.max_batch_items,
        ),
        batch_files=BatchFiles(database, ring),
        attending=Attending(
            database=database,
            orders=orders,
            reader=reader,
            room=waiting,
            longest=settings.max_stream_seconds,
            heartbeat=settings.stream_heartbeat_seconds,
        ),
        tenancy=Tenancy(database, ring),
        accounts=Accounts(database),
        oversight=Oversight(database),
        readiness=Readiness(database, RedisHealth(redis_url)),
        metrics=metrics,
        default_model=settings.default_model,
    )
    return assemble(services)


def _batches(settings: Settings, database: Database, ring: KeyRing, catalogue: Catalogue) -> BatchServices:
    limits = Limits(settings.max_batch_items, settings.max_open_batches)
    opening = Opening(database=database, ring=ring, catalogue=catalogue, limits=limits)
    return BatchServices(
        opening=opening,
        reader=BatchReader(database),
        results=Results(database, ring),
        retrying=Retrying(database, opening),
        most_bytes=settings.max_batch_bytes,
    )


def assemble(services: Services) -> Flask:
    """Hang the routes into a Flask app."""
    app = Flask("api", static_folder=None)
    # One byte more: a body that does not tell its length is cut off there silently, and must be seen to be longer.
    app.config["MAX_CONTENT_LENGTH"] = services.bodies.limit + 1
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # the OpenAPI document names every method there is
    app.url_map.merge_slashes = False  # a redirect would be an answer that no client expects
    app.extensions["quire"] = services  # for whoever has the app and must close it
    observe(app, services.metrics)
    answer_errors(app)
    for routes in (
        *(jobs, artifacts, batches, schedules, webhooks, completions, responses, files, models),
        *(tenants, usage, admin, health, docs),
    ):
        app.register_blueprint(routes.blueprint(services))
    return app
