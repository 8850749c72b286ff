"""Whether this process can do its work: Postgres answers and is migrated. Redis is reported, not required."""

from functools import cached_property

from alembic.script import ScriptDirectory
from redis import Redis, RedisError
from sqlalchemy.exc import SQLAlchemyError

from api import queries, responses
from quire.database import Database
from quire.errors import Unavailable
from quire.settings import REPOSITORY

PATIENCE = 1.0  # seconds that Redis has to answer


class RedisHealth:
    """Asks Redis whether it is there."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)

    def answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False


class Readiness:
    def __init__(self, database: Database, redis: RedisHealth) -> None:
        self._database = database
        self._redis = redis

    def check(self) -> responses.Ready:
        """Look at both servers.

        Raises:
            Unavailable: Postgres does not answer, or its tables are of an older version than this code.

        A migration that this code does not know is a newer one, on which it works: migrations only add.

        """
        try:
            with self._database.service() as session:
                found = queries.migration(session)
        except SQLAlchemyError as error:
            raise Unavailable("Postgres does not answer, or has never been migrated.") from error
        if found is None or found in self._older:
            raise Unavailable(f"Postgres is at migration {found}, this code needs {self._head}.")
        return responses.Ready(migration=found, redis="ok" if self._redis.answers() else "unavailable")

    @cached_property
    def _scripts(self) -> ScriptDirectory:
        return ScriptDirectory(str(REPOSITORY / "migrations"))

    @cached_property
    def _head(self) -> str | None:
        """The newest migration of this code."""
        return self._scripts.get_current_head()

    @cached_property
    def _older(self) -> frozenset[str]:
        """The migrations before it."""
        return frozenset(script.revision for script in self._scripts.walk_revisions()) - {self._head}
