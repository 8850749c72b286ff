"""What the operator does with a whole tenant: suspend it, let it go on, delete it.

    active -> suspended -> active,  and  suspended -> deleted -> gone

A suspended tenant keeps everything; its keys are refused and nothing of it is claimed. Deleting destroys the data
key, which makes every prompt and text unreadable at once; the rows are removed afterwards, in bounded steps. What
stays is the ledger and a receipt.
"""

import os
from uuid import UUID

from sqlalchemy.orm import Session

from quire import batches, jobs
from quire.crypto import KEY_BYTES, KeyRing
from quire.errors import Conflict, NotFound, UndecryptableError
from quire.store import Receipt, Tenant, file, forgetting, receipt
from quire.store import lane as lanes
from quire.store import tenant as tenants
from quire.store.base import now

DESTROYED = "destroyed"  # in the place of the master key's name
FINGERPRINT = b"quire data key"
BATCH = 500  # rows that one step removes at most
FILES = 5  # of up to some hundred parts each
SAMPLES = 3  # data keys of each master key that are tried


def suspend(session: Session, tenant_id: UUID) -> Tenant:
    """Refuse a tenant's keys and claim nothing of it; again is fine, and keeps the time of the first.

    What runs is put back by the scheduler, without an attempt: see `jobs.put_back_suspended`.

    Raises:
        NotFound: there is no such tenant.

    """
    tenant = _locked(session, tenant_id)
    if tenant.suspended_at is None:
        tenant.suspended_at = now(session)
    return tenant


def resume(session: Session, tenant_id: UUID) -> Tenant:
    """Let a suspended tenant go on; one that is not suspended is returned as it is.

    Raises:
        NotFound: there is no such tenant.
        Conflict: it is deleted.

    """
    lanes.catch_up(session, tenant_id)
    tenant = _locked(session, tenant_id)
    if tenant.deleted_at is not None:
        raise Conflict("The tenant is deleted: its data key is destroyed.")
    tenant.suspended_at = None
    return tenant


def delete(session: Session, tenant_id: UUID, ring: KeyRing, request_id: str) -> Receipt:
    """Destroy a suspended tenant's data key and revoke its API keys; again returns the same receipt.

    Raises:
        NotFound: there is no such tenant, and never was one that was deleted.
        Conflict: it is not suspended.

    """
    tenant = tenants.locked(session, tenant_id)
    if tenant is None or tenant.deleted_at is not None:
        return receipt_of(session, tenant_id)
    if tenant.suspended_at is None:
        raise Conflict("The tenant is not suspended: suspend it before deleting it.")
    written = Receipt(
        tenant_id=tenant.id,
        name=tenant.name,
        request_id=request_id,
        key_fingerprint=_fingerprint(tenant, ring),
        keys=tenants.revoke_keys(session, tenant.id),
    )
    tenant.deleted_at = now(session)
    tenant.master_key, tenant.data_key = DESTROYED, os.urandom(KEY_BYTES)
    session.add(written)
    session.flush()
    session.refresh(written)
    return written


def receipt_of(session: Session, tenant_id: UUID) -> Receipt:
    """Return the receipt of a deleted tenant.

    Raises:
        NotFound: no tenant of this id was deleted.

    """
    found = session.get(Receipt, tenant_id)
    if found is None:
        raise NotFound
    return found


def erase(session: Session) -> int:
    """Take one bounded step at the oldest deletion; returns the rows it dealt with, 0 when all is done.

    Jobs that live are cancelled first, which settles their ledger entries.
    """
    open_one = receipt.lock_open(session)
    if open_one is None:
        return 0
    tenant_id = open_one.tenant_id
    if ended := batches.erase_some(session, tenant_id, BATCH):
        return ended
    if cancelled := jobs.cancel_live(session, tenant_id):
        return cancelled
    removed = forgetting.remove(session, forgetting.of_tenant(session, tenant_id, BATCH))
    if removed.jobs:
        open_one.jobs += removed.jobs
        open_one.chunks += removed.chunks
        open_one.artifacts += removed.artifacts
        return removed.jobs
    if more := file.erase(session, tenant_id, FILES) or forgetting.erase_some(session, tenant_id, BATCH):
        return more
    forgetting.remove_tenant(session, tenant_id)
    open_one.completed_at = now(session)
    return 1


def check_ring(session: Session, ring: KeyRing) -> None:
    """See that a ring opens what is there, before jobs are claimed that would fail for the lack of a key.

    Raises:
        UndecryptableError: a master key in use is not on the ring, or is another of the same name.

    """
    troubles: dict[str, list[UndecryptableError | None]] = {}
    for tenant_id, wrapped in tenants.samples(session, SAMPLES):
        try:
            ring.unwrap(wrapped, tenant_id)
            trouble = None
        except UndecryptableError as error:
            trouble = error
        troubles.setdefault(wrapped.master, []).append(trouble)
    for tried in troubles.values():
        if all(tried):  # one that opens proves the master key; the others are damaged themselves
            raise next(filter(None, tried))


def _locked(session: Session, tenant_id: UUID) -> Tenant:
    tenant = tenants.locked(session, tenant_id)
    if tenant is None:
        raise NotFound
    return tenant


def _fingerprint(tenant: Tenant, ring: KeyRing) -> str | None:
    """Tells a data key that turns up in a backup as the one destroyed. A key that cannot be opened has none."""
    try:
        return ring.unwrap(tenant.wrapped_key, tenant.id).fingerprint(FINGERPRINT).hex()
    except UndecryptableError:
        return None
