"""Accounts: what the tenant of the key was billed."""

from datetime import date

from quire_client.connection import Connection, read
from quire_client.usage import Usage, days


class Accounts:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def usage(self, *, first_day: date | None = None, last_day: date | None = None) -> Usage:
        """Return the accounts of some days, of the last 30 unless told otherwise."""
        return read(self._connection.send("GET", "usage", params=days(first_day, last_day)), Usage.parse)
