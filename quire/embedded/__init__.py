"""A real Postgres and a real Valkey from wheels, for one machine: no system service, no container.

Each listens on 127.0.0.1 alone, on a port that was free at the start, behind a random password:

    with embedded.postgres(directory) as server:
        psycopg.connect(server.url)
"""

from pathlib import Path

from quire.embedded.postgres import Postgres
from quire.embedded.server import Server
from quire.embedded.valkey import Valkey
from quire.supervisor import Supervisor

__all__ = ["Server", "postgres", "valkey"]


def postgres(directory: Path, *, durable: bool = True, supervisor: Supervisor | None = None) -> Server:
    """Postgres 18 with its data in `directory`.

    The `url` is that of a superuser who owns a database `quire`. Without `durable` a power cut may lose data.
    """
    return Server(Postgres(directory.resolve(), durable=durable), supervisor)


def valkey(directory: Path, *, durable: bool = True, supervisor: Supervisor | None = None) -> Server:
    """Valkey 9 with its append-only log in `directory`. Without `durable` it keeps nothing."""
    return Server(Valkey(directory.resolve(), durable=durable), supervisor)
