"""API keys of a tenant, for the operator."""

from collections.abc import Sequence

from quire_client.connection import Connection, read
from quire_client.fields import plain
from quire_client.values import Key, Page


class Keys:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, tenant_id: str, *, name: str | None = None, scopes: Sequence[str] | None = None) -> Key:
        """Make a key. Its `secret` is told here and never again. Not repeated after a lost answer."""
        response = self._connection.send(
            "POST",
            "tenants",
            tenant_id,
            "keys",
            operator=True,
            body=plain({"name": name, "scopes": scopes}),
            repeatable=False,
        )
        return read(response, Key.parse)

    def list(self, tenant_id: str) -> tuple[Key, ...]:
        """Return all keys of the tenant, revoked ones too, without their secrets."""
        response = self._connection.send("GET", "tenants", tenant_id, "keys", operator=True)
        return read(response, lambda data: Page.parse(data, Key.parse)).data

    def revoke(self, tenant_id: str, key_id: str) -> None:
        """Close a key; the next request with it is refused."""
        self._connection.send("DELETE", "tenants", tenant_id, "keys", key_id, operator=True)
