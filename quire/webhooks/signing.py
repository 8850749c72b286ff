"""Secrets and signatures of Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a secret as its tenant gets it: `whsec_` and base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def place(endpoint: UUID) -> str:
    """What the seal of an endpoint's secret is bound to."""
    return f"webhook:{endpoint}"


def headers(keys: Iterable[str], message: str, moment: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt; `message` is the event's id, the same in all attempts."""
    seconds = int(moment.timestamp())
    signed = f"{message}.{seconds}.".encode() + body
    return {
        "webhook-id": message,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{_mac(key, signed)}" for key in keys),
    }


def _mac(key: str, signed: bytes) -> str:
    raw = base64.b64decode(key.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode()
