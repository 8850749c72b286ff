"""Encryption at rest: AES-256-GCM under a data key for each tenant, wrapped by a ring of master keys.

What is sealed is bound to its place by associated data (tenant, job, position), so that a ciphertext moved to
another row does not open. Nonces are random 96-bit values, safe for 2^32 messages under one data key
(NIST SP 800-38D, 8.3).
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from quire.errors import ConfigurationError, UndecryptableError

KEY_BYTES = 32
NONCE_BYTES = 12
SEAL_BYTES = NONCE_BYTES + 16  # what a seal adds: the nonce, and GCM's tag


@dataclass(frozen=True)
class DataKey:
    """The key of one tenant's prompts and texts."""

    secret: bytes

    @cached_property
    def _cipher(self) -> AESGCM:
        return AESGCM(self.secret)

    def seal(self, plaintext: bytes, place: str) -> bytes:
        """Encrypt; returns nonce and ciphertext with its tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Decrypt what `seal` made for the same place.

        Raises:
            UndecryptableError: another key, another place, or changed bytes.

        """
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise UndecryptableError(f"Cannot open the data at {place}.") from error

    def fingerprint(self, message: bytes) -> bytes:
        """Keyed hash (HMAC-SHA256), 32 bytes: tells equal messages without telling the message."""
        return hmac.digest(self.secret, message, hashlib.sha256)


@dataclass(frozen=True)
class WrappedKey:
    """A data key as Postgres keeps it: sealed under the master key that `master` names."""

    master: str
    sealed: bytes


class KeyRing:
    """The master keys, newest first: the first wraps, all unwrap."""

    def __init__(self, masters: Mapping[str, bytes]) -> None:
        if not masters:
            raise ConfigurationError("QUIRE_MASTER_KEYS is empty: expected name:base64, 32 bytes each.")
        self._masters = {name: DataKey(secret) for name, secret in masters.items()}
        self.active = next(iter(self._masters))

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read `name:base64,name:base64`.

        Raises:
            ConfigurationError: an entry is malformed, doubled, or not 32 bytes.

        """
        masters: dict[str, bytes] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, _, encoded = entry.partition(":")
            try:
                secret = base64.b64decode(encoded, validate=True)
            except ValueError:  # no base64, or not even ASCII
                secret = b""
            if not name or len(secret) != KEY_BYTES:
                raise ConfigurationError("QUIRE_MASTER_KEYS: expected name:base64, 32 bytes each.")
            if name in masters:
                raise ConfigurationError(f"QUIRE_MASTER_KEYS: the name {name} stands twice.")
            masters[name] = secret
        return cls(masters)

    def new_data_key(self, tenant: UUID) -> WrappedKey:
        return self._wrap(DataKey(secrets.token_bytes(KEY_BYTES)), tenant)

    def unwrap(self, wrapped: WrappedKey, tenant: UUID) -> DataKey:
        """Open a tenant's data key.

        Raises:
            UndecryptableError: the master key it was wrapped with is not on the ring.

        """
        master = self._masters.get(wrapped.master)
        if master is None:
            raise UndecryptableError(f"The master key {wrapped.master} is not in QUIRE_MASTER_KEYS.")
        return DataKey(master.open(wrapped.sealed, f"tenant:{tenant}"))

    def rewrap(self, wrapped: WrappedKey, tenant: UUID) -> WrappedKey:
        """Wrap the same data key under the active master key."""
        return self._wrap(self.unwrap(wrapped, tenant), tenant)

    def _wrap(self, key: DataKey, tenant: UUID) -> WrappedKey:
        return WrappedKey(self.active, self._masters[self.active].seal(key.secret, f"tenant:{tenant}"))


def new_master_key(name: str) -> str:
    """One entry of QUIRE_MASTER_KEYS."""
    return f"{name}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"
