"""Tenants, for the operator: who may submit, and how much."""

from collections.abc import Iterator

from quire_client.connection import Connection, read
from quire_client.fields import plain
from quire_client.values import Page, Receipt, Tenant


class Tenants:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        name: str,
        *,
        weight: float | None = None,
        max_running: int | None = None,
        max_queued: int | None = None,
        retention_days: int | None = None,
    ) -> Tenant:
        """Make a tenant. Not repeated after a lost answer: the name tells whether it exists.

        Raises:
            ConflictError: the name is taken.

        """
        response = self._connection.send(
            "POST",
            "tenants",
            operator=True,
            body=plain(
                {
                    "name": name,
                    "weight": weight,
                    "max_running": max_running,
                    "max_queued": max_queued,
                    "retention_days": retention_days,
                }
            ),
            repeatable=False,
        )
        return read(response, Tenant.parse)

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
