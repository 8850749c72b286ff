"""Who is asking: API keys of tenants, and the operator's token."""

import hashlib
import hmac
import logging
import re
import secrets
import string
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from flask import Request
from pydantic import SecretStr

from api.rates import Rates
from api.throttle import Failures, client_address
from quire.database import Database
from quire.errors import Forbidden, QuireError, TenantSuspended, TooManyFailures, Unauthenticated
from quire.store.tenant import FIND_KEY

log = logging.getLogger(__name__)

KEY = re.compile(r"(qk_[A-Za-z0-9]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
ALPHABET = string.ascii_lowercase + string.digits


class Scope(StrEnum):
    READ = "jobs:read"
    WRITE = "jobs:write"


@dataclass(frozen=True)
class Caller:
    """The tenant that a request speaks for."""

    tenant_id: UUID
    key_id: UUID


@dataclass(frozen=True)
class NewKey:
    """An API key at the only moment when its secret is known."""

    secret: str
    prefix: str
    digest: bytes

    @classmethod
    def draw(cls) -> "NewKey":
        """Draw a key: a prefix that may be shown, and 256 random bits."""
        prefix = "qk_" + "".join(secrets.choice(ALPHABET) for _ in range(12))
        secret = f"{prefix}_{secrets.token_urlsafe(32)}"
        return cls(secret, prefix, digest(secret))


def digest(secret: str) -> bytes:
    """SHA-256 is enough for a key of 256 random bits: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).digest()


class Authenticator:
    """Checks the Authorization header. Nothing is cached, so a revoked key is refused at once.

    `proxies` is the number of own proxies in front, which say where a request came from.
    """

    def __init__(
        self,
        database: Database,
        admin_token: SecretStr | None,
        *,
        rates: Rates,
        failures: Failures,
        proxies: int = 0,
    ) -> None:
        self._database = database
        self._rates = rates
        # An empty variable in a .env file means "unset", not "the empty password".
        self._admin_token = admin_token.get_secret_value() if admin_token else ""
        self._failures = failures
        self._proxies = proxies

    def tenant(self, request: Request, scope: Scope | None = None) -> Caller:
        """Return whose API key this is.

        Raises:
            Unauthenticated: there is no key, or it is malformed, unknown or revoked.
            TooManyFailures: the same, once more than the limit.
            TenantSuspended: the key is good, but its tenant is suspended.
            Forbidden: it lacks the scope.
            RateLimited: its tenant has sent more requests in this minute than it may.

        """
        secret = _bearer(request)
        if not (match := KEY.fullmatch(secret)):
            raise self._refusal(request)
        found = self._database.look_up(FIND_KEY, prefix=match[1])
        known = hmac.compare_digest(digest(secret), found.secret_hash if found else bytes(32))
        if not found or not known or found.revoked_at is not None:
            raise self._refusal(request, prefix=match[1])
        if found.suspended_at is not None:
            raise TenantSuspended
        if found.max_requests_per_minute is not None:
            self._rates.take(found.tenant_id, found.max_requests_per_minute)
        if scope is not None and scope not in found.scopes:
            raise Forbidden(f"The API key lacks the scope {scope}.")
        return Caller(found.tenant_id, found.id)

    def operator(self, request: Request) -> None:
        """Check the operator's token.

        Raises:
            Forbidden: this server has none, so its operator's routes are closed.
            Unauthenticated: the token is missing or wrong.
            TooManyFailures: the same, once more than the limit.

        """
        if not self._admin_token:
            raise Forbidden("The operator's routes are closed: QUIRE_ADMIN_TOKEN is not set.")
        if not hmac.compare_digest(_bearer(request).encode(), self._admin_token.encode()):
            raise self._refusal(request, message="The operator's token is missing or wrong.")

    def _refusal(self, request: Request, *, prefix: str | None = None, message: str | None = None) -> QuireError:
        """Count a failed attempt, under its address and the prefix it tried; a request without any is none."""
        if not _bearer(request):
            return Unauthenticated(message)
        address = client_address(request, self._proxies)
        wait = self._failures.note(f"address {address}", *([f"key {prefix}"] if prefix else []))
        if wait is None:
            return Unauthenticated(message)
        log.warning(
            "too many bad keys", extra={"action": "too_many_failures", "address": address, "prefix": prefix}
        )
        return TooManyFailures.until(wait)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
