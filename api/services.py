"""What the routes are given: everything that one app is made of, built by app.py."""

from dataclasses import dataclass

from api.accounts import Accounts
from api.auth import Authenticator
from api.batches.opening import Opening
from api.batches.results import Results
from api.batches.retrying import Retrying
from api.batches.view import BatchReader
from api.body import BodyReader
from api.bulk import BulkSubmissions
from api.following import Follower
from api.metrics import Metrics
from api.openai.attending import Attending
from api.openai.batch_files import BatchFiles
from api.openai.batching import OpenAIBatches
from api.openai.orders import Orders
from api.openai.storing import Files
from api.oversight import Oversight
from api.readiness import Readiness
from api.reading import JobReader
from api.schedules.keeping import Schedules
from api.submission import Submissions
from api.tenancy import Tenancy
from api.waiting import WaitingRoom
from api.webhooks.deliveries import Deliveries
from api.webhooks.keeping import Endpoints
from quire.database import Database


@dataclass(frozen=True)
class BatchServices:
    opening: Opening
    reader: BatchReader
    results: Results
    retrying: Retrying
    most_bytes: int  # of a file with items


@dataclass(frozen=True)
class Services:
    database: Database
    authenticator: Authenticator
    bodies: BodyReader
    bulk_bodies: BodyReader
    submissions: Submissions
    bulk_submissions: BulkSubmissions
    batches: BatchServices
    schedules: Schedules
    endpoints: Endpoints
    deliveries: Deliveries
    reader: JobReader
    waiting: WaitingRoom
    follower: Follower
    orders: Orders
    files: Files
    openai_batches: OpenAIBatches
    batch_files: BatchFiles
    attending: Attending
    tenancy: Tenancy
    accounts: Accounts
    oversight: Oversight
    readiness: Readiness
    metrics: Metrics
    default_model: str
