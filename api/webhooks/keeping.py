"""Endpoints of webhooks: made, listed, changed, given new secrets, deleted."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.cursors import place, position
from api.schemas import PageQuery
from api.webhooks.answers import EndpointPage, EndpointWithSecret, ShownEndpoint, shown_endpoint, shown_with_secret
from api.webhooks.requests import EndpointChange, EndpointRequest, RotateRequest
from quire import ids
from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import InvalidField, NotFound, QuotaExceeded
from quire.quotas import Allowance
from quire.store import Endpoint, Tenant, job_counts
from quire.store.base import now
from quire.webhooks import signing
from quire.webhooks.targets import Refused, target_of


class Endpoints:
    """Each method is one transaction of the tenant. NotFound: it is not the tenant's."""

    def __init__(self, database: Database, ring: KeyRing, *, allow_private: bool, most: int) -> None:
        self._database = database
        self._ring = ring
        self._allow_private = allow_private
        self._most = most

    def make(self, tenant_id: UUID, wanted: EndpointRequest) -> EndpointWithSecret:
        """Set an endpoint up.

        Raises:
            InvalidField: its URL is not one that may be called.
            QuotaExceeded: the tenant has as many as it may.

        """
        self._check(wanted.url)
        with self._database.tenant(tenant_id) as session:
            job_counts.serialise_submissions(session, tenant_id)
            there = session.scalar(select(func.count()).where(Endpoint.tenant_id == tenant_id)) or 0
            if there >= self._most:
                left = Allowance("webhooks", self._most, 0, 60)
                raise QuotaExceeded(f"The tenant has {there} webhooks; its limit is {self._most}.", left)
            secret = signing.new_secret()
            row = Endpoint(
                id=ids.new_id(),
                tenant_id=tenant_id,
                url=wanted.url,
                events=list(dict.fromkeys(wanted.events)),
                description=wanted.description,
                secret=b"",
            )
            row.secret = self._sealed(session, row, secret)
            session.add(row)
            session.flush()
            session.refresh(row)
            return shown_with_secret(row, secret)

    def page(self, tenant_id: UUID, query: PageQuery) -> EndpointPage:
        before = position(ids.ENDPOINT, query.after)
        wanted = select(Endpoint).where(Endpoint.tenant_id == tenant_id).order_by(Endpoint.id.desc())
        if before is not None:
            wanted = wanted.where(Endpoint.id < before)
        with self._database.tenant(tenant_id) as session:
            rows = session.scalars(wanted.limit(query.limit + 1)).all()
        return EndpointPage(
            data=[shown_endpoint(row) for row in rows[: query.limit]], **place(ids.ENDPOINT, rows, query.limit)
        )

    def one(self, tenant_id: UUID, endpoint: UUID) -> ShownEndpoint:
        with self._database.tenant(tenant_id) as session:
            return shown_endpoint(find(session, tenant_id, endpoint))

    def change(self, tenant_id: UUID, endpoint: UUID, wanted: EndpointChange) -> ShownEndpoint:
        """Change what is named; one that is enabled again gets what has piled up."""
        if wanted.url is not None:
            self._check(wanted.url)
        with self._database.tenant(tenant_id) as session:
            row = find(session, tenant_id, endpoint)
            for name in ("url", "events", "description"):
                if (value := getattr(wanted, name)) is not None:
                    setattr(row, name, value)
            if wanted.enabled is True:
                row.disabled_at = row.disabled_why = None
                row.failures = 0
            elif wanted.enabled is False and row.disabled_at is None:
                row.disabled_at, row.disabled_why = now(session), "Its tenant has switched it off."
            session.flush()
            return shown_endpoint(row)

    def delete(self, tenant_id: UUID, endpoint: UUID) -> None:
        with self._database.tenant(tenant_id) as session:
            session.delete(find(session, tenant_id, endpoint))

    def rotate(self, tenant_id: UUID, endpoint: UUID, wanted: RotateRequest) -> EndpointWithSecret:
        """Give an endpoint a new secret; the one before signs as well for a while."""
        with self._database.tenant(tenant_id) as session:
            row = find(session, tenant_id, endpoint)
            secret = signing.new_secret()
            row.old_secret, row.old_until = row.secret, now(session) + timedelta(hours=wanted.overlap_hours)
            row.secret = self._sealed(session, row, secret)
            session.flush()
            return shown_with_secret(row, secret)

    def _check(self, url: str) -> None:
        try:
            target_of(url, allow_private=self._allow_private)
        except Refused as refused:
            raise InvalidField.one("url", f"The address {refused}") from None

    def _sealed(self, session: Session, row: Endpoint, secret: str) -> bytes:
        tenant = session.get_one(Tenant, row.tenant_id)
        return self._ring.unwrap(tenant.wrapped_key, tenant.id).seal(secret.encode(), signing.place(row.id))


def find(session: Session, tenant_id: UUID, endpoint: UUID) -> Endpoint:
    row = session.scalar(select(Endpoint).where(Endpoint.id == endpoint, Endpoint.tenant_id == tenant_id))
    if row is None:
        raise NotFound
    return row
