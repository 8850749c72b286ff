"""How an artifact is kept: cut into parts, each sealed for its place, and put together again."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from quire.crypto import DataKey
from quire.errors import NotFound, UndecryptableError
from quire.store.artifact import Artifact, ArtifactPart, Sealed

PART = 256 * 1024  # bytes before sealing: a range reads at most one such part too much at each end

MEDIA_TYPES = {"abc": "text/vnd.abc", "midi": "audio/midi", "wav": "audio/wav", "svg": "image/svg+xml"}
EXTENSIONS = {"abc": "abc", "midi": "mid", "wav": "wav", "svg": "svg"}


@dataclass(frozen=True)
class Made:
    """A file that was made of a piece, or why it could not be."""

    piece: int
    kind: str  # of MEDIA_TYPES
    content: bytes = b""
    unavailable: str | None = None

    @property
    def name(self) -> str:
        return f"tune-{self.piece}.{EXTENSIONS[self.kind]}"


def place(job_id: UUID, name: str, part: int | str) -> str:
    """Where something of an artifact stands, which its seal is bound to."""
    return f"artifact:{job_id}:{name}:{part}"


def sealed(made: Made, *, job_id: UUID, tenant_id: UUID, key: DataKey) -> Sealed:
    """Cut and seal a file."""
    digest = None
    if made.unavailable is None:
        digest = key.seal(hashlib.sha256(made.content).digest(), place(job_id, made.name, "digest"))
    row = Artifact(
        job_id=job_id,
        name=made.name,
        tenant_id=tenant_id,
        piece=made.piece,
        media_type=MEDIA_TYPES[made.kind],
        size=len(made.content),
        digest=digest,
        unavailable=made.unavailable,
    )
    parts = [
        ArtifactPart(
            job_id=job_id,
            name=made.name,
            part=number,
            tenant_id=tenant_id,
            body=key.seal(made.content[start : start + PART], place(job_id, made.name, number)),
        )
        for number, start in enumerate(range(0, len(made.content), PART))
    ]
    return Sealed(row, parts)


def sha256(row: Artifact, key: DataKey) -> str | None:
    """Return the checksum of the whole, in hexadecimal; None of what could not be made."""
    return key.open(row.digest, place(row.job_id, row.name, "digest")).hex() if row.digest else None


def pieces_of(
    row: Artifact, key: DataKey, read: Callable[[int], bytes | None], start: int, end: int
) -> Iterator[bytes]:
    """Yield the bytes from `start` to before `end`, part by part. `read` returns a sealed part.

    Raises:
        NotFound: a part is gone: the job was deleted meanwhile.
        UndecryptableError: another key, or changed bytes.

    """
    for number in range(start // PART, -(-end // PART)):
        body = read(number)
        if body is None:
            raise NotFound
        content = key.open(body, place(row.job_id, row.name, number))
        if len(content) != min(PART, row.size - number * PART):
            raise UndecryptableError(f"The data at {place(row.job_id, row.name, number)} have another length.")
        yield content[max(0, start - number * PART) : end - number * PART]
