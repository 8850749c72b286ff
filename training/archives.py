"""Read single files out of downloaded packages: wheels, npm tarballs, Debian packages."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60


def wheel_files(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member of a wheel whose path matches `pattern`, in order of name."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if PurePosixPath(name).match(pattern):
                yield name, archive.read(name)


def tarball_files(archive: tarfile.TarFile, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each plain member of a tarball whose path matches `pattern`, in order of name."""
    members = [m for m in archive if m.isfile() and PurePosixPath(m.name).match(pattern)]
    for member in sorted(members, key=lambda m: m.name):
        content = archive.extractfile(member)
        assert content is not None
        yield member.name, content.read()


def npm_files(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Members of an npm tarball."""
    with tarfile.open(path) as archive:
        yield from tarball_files(archive, pattern)


def deb_files(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Members of a Debian package: an `ar` archive that holds a tarball named `data.tar.*`."""
    data = path.read_bytes()
    at = len(AR_MAGIC)
    while at < len(data):
        name = data[at : at + 16].decode().strip().rstrip("/")
        size = int(data[at + 48 : at + 58])
        start = at + AR_HEADER
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(data[start : start + size])) as archive:
                yield from tarball_files(archive, pattern)
        at = start + size + size % 2


def files(path: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Members of a downloaded package of any kind whose path matches `pattern`."""
    readers = {".whl": wheel_files, ".tgz": npm_files, ".deb": deb_files}
    yield from readers[path.suffix](path, pattern)
