"""The operator's use cases: tenants and their keys."""

from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api import presenter, queries, responses
from api.auth import NewKey
from api.cursors import place, position
from api.schemas import KeyQuery, KeyRequest, TenantChange, TenantQuery, TenantRequest
from quire import ids, tenants
from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import Conflict, NotFound
from quire.store import ApiKey, Tenant
from quire.store import lane as lanes


class Tenancy:
    """Each method is one transaction of the operator. NotFound is raised for ids that there are not."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    def create(self, wanted: TenantRequest) -> responses.Tenant:
        """Make a tenant, and its data key.

        Raises:
            Conflict: the name is taken.

        """
        tenant_id = ids.new_id()
        wrapped = self._ring.new_data_key(tenant_id)
        row = Tenant(
            id=tenant_id,
            name=wanted.name,
            weight=wanted.weight,
            max_running=wanted.max_running,
            max_queued=wanted.max_queued,
            max_tokens_per_day=wanted.max_tokens_per_day,
            max_requests_per_minute=wanted.max_requests_per_minute,
            paused=wanted.paused,
            retention_days=wanted.retention_days,
            master_key=wrapped.master,
            data_key=wrapped.sealed,
        )
        try:
            with self._database.service() as session:
                _insert(session, row)
        except IntegrityError:
            raise Conflict("There is a tenant of this name.") from None
        return presenter.tenant(row)

    def get(self, tenant_id: UUID) -> responses.Tenant:
        with self._database.service() as session:
            return presenter.tenant(_tenant(session, tenant_id))

    def change(self, tenant_id: UUID, wanted: TenantChange) -> responses.Tenant:
        """Change what was named; it holds from the next request and the next claim."""
        with self._database.service() as session:
            row = _tenant(session, tenant_id)
            for name in wanted.model_fields_set:
                setattr(row, name, getattr(wanted, name))
            session.flush()
            lanes.catch_up(session, tenant_id)
            return presenter.tenant(row)

    def page(self, query: TenantQuery) -> responses.TenantPage:
        before = position(ids.TENANT, query.after)
        with self._database.service() as session:
            rows = queries.newest_tenants(session, name=query.name, before=before, limit=query.limit + 1)
        return responses.TenantPage(
            data=[presenter.tenant(row) for row in rows[: query.limit]],
            **place(ids.TENANT, rows, query.limit),
        )

    def suspend(self, tenant_id: UUID) -> responses.Tenant:
        with self._database.service() as session:
            return presenter.tenant(tenants.suspend(session, tenant_id))

    def resume(self, tenant_id: UUID) -> responses.Tenant:
        """Let a suspended tenant go on. Conflict is raised for one that is deleted."""
        with self._database.service() as session:
            return presenter.tenant(tenants.resume(session, tenant_id))

    def delete(self, tenant_id: UUID, request_id: str) -> responses.Receipt:
        """Destroy a tenant's data key. Conflict is raised for one that is not suspended."""
        with self._database.service() as session:
            return presenter.receipt(tenants.delete(session, tenant_id, self._ring, request_id))

    def receipt(self, tenant_id: UUID) -> responses.Receipt:
        with self._database.service() as session:
            return presenter.receipt(tenants.receipt_of(session, tenant_id))

    def create_key(self, tenant_id: UUID, wanted: KeyRequest) -> responses.KeyWithSecret:
        """Draw a key. What is returned here is the only copy of its secret.

        Raises:
            Conflict: the tenant is deleted.

        """
        drawn = NewKey.draw()
        row = ApiKey(
            id=ids.new_id(),
            tenant_id=tenant_id,
            name=wanted.name,
            prefix=drawn.prefix,
            secret_hash=drawn.digest,
            scopes=sorted(set(wanted.scopes)),
        )
        with self._database.service() as session:
            if _tenant(session, tenant_id).deleted_at is not None:
                raise Conflict("The tenant is deleted.")
            _insert(session, row)
        return responses.KeyWithSecret(**dict(presenter.key(row)), secret=drawn.secret)

    def keys(self, tenant_id: UUID, query: KeyQuery) -> responses.KeyPage:
        before = position(ids.KEY, query.after)
        with self._database.service() as session:
            _tenant(session, tenant_id)
            rows = queries.newest_keys(session, tenant_id, before=before, limit=query.limit + 1)
        return responses.KeyPage(
            data=[presenter.key(row) for row in rows[: query.limit]],
            **place(ids.KEY, rows, query.limit),
        )

    def revoke_key(self, tenant_id: UUID, key_id: UUID) -> None:
        """Revoke a key; again is fine, and keeps the time of the first."""
        first = func.coalesce(ApiKey.revoked_at, func.clock_timestamp())
        mine = (ApiKey.id == key_id) & (ApiKey.tenant_id == tenant_id)
        with self._database.service() as session:
            revoked = session.scalar(update(ApiKey).where(mine).values(revoked_at=first).returning(ApiKey.id))
        if revoked is None:
            raise NotFound


def _tenant(session: Session, tenant_id: UUID) -> Tenant:
    row = session.get(Tenant, tenant_id)
    if row is None:
        raise NotFound
    return row


def _insert(session: Session, row: Tenant | ApiKey) -> None:
    session.add(row)
    session.flush()
    session.refresh(row)
