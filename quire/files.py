"""How a file is kept: cut into parts as it comes, each sealed for its place, and read back one after the other."""

from collections.abc import Callable, Iterator
from uuid import UUID

from quire.crypto import DataKey
from quire.errors import NotFound

PART = 256 * 1024  # bytes before sealing


def place(file_id: UUID, part: int) -> str:
    """Where a part stands, which its seal is bound to."""
    return f"file:{file_id}:{part}"


class Cutter:
    """Cuts what is written into sealed parts, each handed over with its number as soon as it is full."""

    def __init__(self, file_id: UUID, key: DataKey, keep: Callable[[int, bytes], None]) -> None:
        self._file_id, self._key, self._keep = file_id, key, keep
        self._buffer = bytearray()
        self._parts = 0
        self.size = 0  # bytes written so far

    def write(self, data: bytes) -> int:
        self._buffer += data
        self.size += len(data)
        while len(self._buffer) >= PART:
            self._hand_over(PART)
        return len(data)

    def finish(self) -> None:
        if self._buffer:
            self._hand_over(len(self._buffer))

    def _hand_over(self, size: int) -> None:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._keep(self._parts, self._key.seal(piece, place(self._file_id, self._parts)))
        self._parts += 1


def content(file_id: UUID, size: int, key: DataKey, read: Callable[[int], bytes | None]) -> Iterator[bytes]:
    """Yield a file's bytes, a part at a time. `read` returns a sealed part.

    Raises:
        NotFound: a part is gone: the file was deleted meanwhile.
        UndecryptableError: another key, or changed bytes.

    """
    for number in range(-(-size // PART)):
        body = read(number)
        if body is None:
            raise NotFound
        yield key.open(body, place(file_id, number))
