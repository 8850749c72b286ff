"""What keeps the tables small and their keys fresh."""

import logging

from quire import batches
from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import UndecryptableError
from quire.store import chunk, file, forgetting, idempotency
from quire.store.base import now
from quire.store.tenant import not_on_master_key
from quire.webhooks import delivering

log = logging.getLogger(__name__)

BATCH = 500
FILES = 5  # of up to some hundred parts each
WEEKS_AHEAD = 2


def make_partitions(database: Database) -> int:
    """Make this week's partition of the text log and the next ones."""
    with database.service() as session:
        today = now(session)
    made = 0
    # The furthest first, and each by itself: a week that is refused must not take the next ones along.
    for week in reversed(range(WEEKS_AHEAD + 1)):
        with database.service() as session:
            made += chunk.make_partition(session, today + week * chunk.PARTITION)
    return made


def forget_idempotency_keys(database: Database, hours: int) -> int:
    with database.service() as session:
        return idempotency.prune(session, hours)


def forget_jobs(database: Database, days: int | None) -> int:
    """Delete finished jobs with their texts, once they are older than they asked or their tenant keeps them.

    A job may ask for less than its tenant, and not for more. `days` is for tenants that do not say; None keeps.
    """
    with database.service() as session:
        own = forgetting.remove(session, forgetting.past_own_retention(session, BATCH))
    with database.service() as session:
        tenants = forgetting.remove(session, forgetting.past_tenants_retention(session, days, BATCH))
    return own.jobs + tenants.jobs


def forget_batches(database: Database, days: int | None) -> int:
    """Delete batches that are older than they asked or their tenant keeps them, and those never released."""
    with database.service() as session:
        old = batches.forget(session, days, BATCH)
    with database.service() as session:
        return old + batches.forget_received(session, BATCH)


def forget_files(database: Database) -> int:
    """Delete uploaded files that have expired, or whose upload broke off."""
    with database.service() as session:
        return file.forget(session, FILES)


def forget_events(database: Database, days: int) -> int:
    """Delete webhooks' events of so many days ago, with what became of them."""
    with database.service() as session:
        return delivering.prune(session, days)


def forget_occurrences(database: Database, days: int) -> int:
    """Delete schedules' occurrences of so many days ago, and what schedules were before an edit so long ago."""
    with database.service() as session:
        return forgetting.old_schedules(session, days, BATCH)


def rewrap_data_keys(database: Database, ring: KeyRing) -> int:
    """Wrap tenants' data keys under the newest master key, so that the older may be retired."""
    done = 0
    with database.service() as session:
        for tenant in not_on_master_key(session, ring.active, BATCH):
            try:
                wrapped = ring.rewrap(tenant.wrapped_key, tenant.id)
            except UndecryptableError as error:
                log.error(str(error), extra={"action": "rewrap_refused", "tenant": str(tenant.id)})  # noqa: TRY400
                continue
            tenant.master_key, tenant.data_key = wrapped.master, wrapped.sealed
            done += 1
    return done
