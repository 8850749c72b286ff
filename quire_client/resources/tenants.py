"""Tenants, for the operator: who may submit, and how much."""

from collections.abc import Iterator
from datetime import date
from typing import TypedDict, Unpack

from quire_client.connection import Connection, read
from quire_client.fields import plain
from quire_client.usage import Usage, days
from quire_client.values import Page, Receipt, Tenant


class Limits(TypedDict, total=False):
    """What a tenant may use. In a change None takes a limit away, and what is left out stays as it is."""

    weight: float
    max_running: int | None
    max_queued: int
    max_tokens_per_day: int | None
    max_requests_per_minute: int | None
    retention_days: int | None  # of finished jobs; None: the server's setting
    paused: bool


class Tenants:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str, **limits: Unpack[Limits]) -> Tenant:
        """Make a tenant. Not repeated after a lost answer: the name tells whether it exists.

        Raises:
            ConflictError: the name is taken.

        """
        response = self._connection.send(
            "POST",
            "tenants",
            operator=True,
            body=plain({"name": name, **limits}),
            repeatable=False,
        )
        return read(response, Tenant.parse)

    def change(self, tenant_id: str, **changes: Unpack[Limits]) -> Tenant:
        """Change limits or pause a tenant; it holds at once."""
        response = self._connection.send("PATCH", "tenants", tenant_id, operator=True, body=dict(changes))
        return read(response, Tenant.parse)

    def usage(self, tenant_id: str, *, first_day: date | None = None, last_day: date | None = None) -> Usage:
        """Return what a tenant was billed, by day and model; of the last 30 days unless told otherwise."""
        response = self._connection.send(
            "GET", "tenants", tenant_id, "usage", operator=True, params=days(first_day, last_day)
        )
        return read(response, Usage.parse)

    def get(self, tenant_id: str) -> Tenant:
        return read(self._connection.send("GET", "tenants", tenant_id, operator=True), Tenant.parse)

    def suspend(self, tenant_id: str) -> Tenant:
        """Refuse the tenant's keys and run nothing of it until `resume`; nothing is lost."""
        return read(self._connection.send("POST", "tenants", tenant_id, "suspend", operator=True), Tenant.parse)

    def resume(self, tenant_id: str) -> Tenant:
        """Let a suspended tenant go on.

        Raises:
            ConflictError: it is deleted.

        """
        return read(self._connection.send("POST", "tenants", tenant_id, "resume", operator=True), Tenant.parse)

    def delete(self, tenant_id: str) -> Receipt:
        """Destroy a suspended tenant's data key; its rows are removed soon after.

        Raises:
            ConflictError: it is not suspended.

        """
        return read(self._connection.send("DELETE", "tenants", tenant_id, operator=True), Receipt.parse)

    def receipt(self, tenant_id: str) -> Receipt:
        """Return what is kept of a deleted tenant."""
        return read(self._connection.send("GET", "tenants", tenant_id, "receipt", operator=True), Receipt.parse)

    def list(self, *, name: str | None = None, limit: int | None = None) -> Iterator[Tenant]:
        """Yield every tenant, or the one of a name, fetching pages of `limit` as they are needed."""
        cursor = None
        while True:
            page = self.page(name=name, after=cursor, limit=limit)
            yield from page.data
            cursor = page.next_cursor
            if not page.has_more or cursor is None:
                return

    def page(self, *, name: str | None = None, after: str | None = None, limit: int | None = None) -> Page[Tenant]:
        params = {"name": name, "after": after, "limit": limit}
        response = self._connection.send("GET", "tenants", operator=True, params=params)
        return read(response, lambda data: Page.parse(data, Tenant.parse))
