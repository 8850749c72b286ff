"""A batch of one template through a whole worker with a real engine: what its rows share is computed once."""

from collections.abc import Iterator

import pytest

from quire import batches, testing
from quire.asking.drafting import Catalogue, ChosenModel
from quire.asking.entries import SentItem, filled
from quire.asking.items import Owner, read_items
from quire.asking.request import Need
from quire.asking.tokenizing import Tokenizers
from quire.batches import Draft, Limits
from quire.settings import Settings
from quire.store import Batch
from quire.store.batch import BatchState
from quire.testing import MODEL, RING, Place
from scheduler.batching import Batching
from tests.waiting import until
from worker.engine import Engine
from worker.service import Service

ROWS, SLOTS, BLOCK = 8, 4, 16
SHARED = "The harbour lay in the dark, and the boats came home with the evening tide. " * 4
TEMPLATE = {"prompt": SHARED + "This was boat {{number}}.", "max_tokens": 4, "custom_id": "{{number}}"}


@pytest.fixture
def engine(place: Place, postgres_url: str, redis_url: str) -> Iterator[Engine]:
    """The engine of a worker that runs."""
    settings = Settings(
        database_url=testing.sqlalchemy_url(postgres_url),
        redis_url=redis_url,
        master_keys=testing.MASTER_KEYS,
        models={MODEL: "a folder"},
        flush_seconds=0.05,
        idle_look_seconds=0.02,
    )
    engine = Engine.load(str(testing.checkpoint_folder()), slots=SLOTS, threads=1)
    service = Service(settings, engine)
    service.start()
    yield engine
    service.stop()


def take(place: Place) -> Batch:
    catalogue = Catalogue(Tokenizers(), configured=[MODEL], default_model=MODEL)
    key = RING.unwrap(place.tenant.wrapped_key, place.tenant.id)
    owner = Owner(place.tenant.id, key, place.tenant.quotas)
    rows = [SentItem({"number": str(number)}, where=f"rows.{number}") for number in range(ROWS)]

    def find(need: Need) -> ChosenModel:
        with place.database.service() as session:
            return catalogue.find(session, need)

    taken = batches.take(
        place.database.service,
        Draft(tenant_id=place.tenant.id, priority=0),
        Limits(ROWS, 1),
        lambda batch: read_items(find, owner, batch, filled(TEMPLATE, rows), ROWS),
        lambda *_: True,
    )
    assert taken is not None
    return taken


def test_rows_of_one_template_share_its_prefill(place: Place, engine: Engine) -> None:
    common = len(engine.tokenizer.encode(SHARED)) - 1  # its last token may join with what follows
    before = engine.stats()

    batch, feeding = take(place), Batching(place.database, window=256)
    until(lambda: over(place, feeding, batch))

    did = engine.stats()
    computed = did.tokens_prefilled - before.tokens_prefilled
    shared = did.tokens_shared - before.tokens_shared
    assert shared >= (ROWS - 1) * (common // BLOCK * BLOCK)
    assert computed <= common + ROWS * (prompt_tokens(engine) - common // BLOCK * BLOCK)


def prompt_tokens(engine: Engine) -> int:
    return len(engine.tokenizer.encode(SHARED + "This was boat 0."))


def over(place: Place, feeding: Batching, batch: Batch) -> bool:
    """Feed, collect, and look."""
    feeding.run()
    with place.database.service() as session:
        return session.get_one(Batch, batch.id).state is BatchState.COMPLETED
