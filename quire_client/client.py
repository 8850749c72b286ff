"""The client: one object, one server, its resources as attributes."""

import os
from typing import Self

import httpx

from quire_client.clock import Clock
from quire_client.connection import Connection
from quire_client.errors import ConfigurationError
from quire_client.resources.accounts import Accounts
from quire_client.resources.admin import Admin
from quire_client.resources.batches import Batches
from quire_client.resources.jobs import Jobs
from quire_client.resources.keys import Keys
from quire_client.resources.models import Models
from quire_client.resources.schedules import Schedules
from quire_client.resources.tenants import Tenants
from quire_client.resources.webhooks import Webhooks
from quire_client.retry import Retry

LOCAL = "http://127.0.0.1:8000"


class Quire:
    """Talk to a Quire server. Close it, or use it in a `with` statement.

    Args:
        url: of the server; else `QUIRE_URL`, else this machine's port 8000.
        api_key: of a tenant, for jobs and models; else `QUIRE_API_KEY`.
        admin_token: of the operator, for tenants and keys; else `QUIRE_ADMIN_TOKEN`.
        transport: for tests, or for proxies and certificates of your own.
        timeout: seconds for an answer, beside the time that a long poll is held.
        retry: how failures that may pass are repeated.
        clock: for tests.

    Raises:
        ConfigurationError: the address or a credential is malformed.

    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        admin_token: str | None = None,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 30.0,
        *,
        retry: Retry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._connection = Connection(
            _given("QUIRE_URL", url) or LOCAL,
            api_key=_credential("QUIRE_API_KEY", api_key),
            admin_token=_credential("QUIRE_ADMIN_TOKEN", admin_token),
            transport=transport,
            timeout=timeout,
            retry=retry or Retry(),
            clock=clock or Clock(),
        )
        self.jobs = Jobs(self._connection)
        self.batches = Batches(self._connection)
        self.schedules = Schedules(self._connection)
        self.webhooks = Webhooks(self._connection)
        self.models = Models(self._connection)
        self.accounts = Accounts(self._connection)
        self.tenants = Tenants(self._connection)
        self.keys = Keys(self._connection)
        self.admin = Admin(self._connection)

    @property
    def url(self) -> str:
        return self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()


def _given(variable: str, value: str | None) -> str | None:
    """Return what was passed, else what the environment says; a variable that is empty is unset."""
    return (os.environ.get(variable, "") if value is None else value).strip() or None


def _credential(variable: str, value: str | None) -> str | None:
    found = _given(variable, value)
    if found is not None and not (found.isascii() and found.isprintable() and " " not in found):
        raise ConfigurationError(f"{variable} holds characters that no credential has")
    return found
