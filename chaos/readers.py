"""Many readers of one job's events, who come back by Last-Event-ID whenever their connection breaks."""

import asyncio
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from chaos.checker import TERMINAL
from chaos.proxy import HOST

PAUSE = 0.2  # seconds until who was sent away comes back
QUIET = 30.0  # until who hears nothing does
LINE = 2**20  # bytes of an event at most


@dataclass
class Reader:
    """What one reader has seen: the ids of the events, and the text folded from them."""

    comes_after: float  # seconds
    ids: list[str] = field(default_factory=list)
    pieces: dict[int, str] = field(default_factory=dict)
    truncated: int = 0
    connections: int = 0
    state: str = ""

    def take(self, name: str, identity: str | None, data: str) -> None:
        told = json.loads(data)
        if identity is not None:
            self.ids.append(identity)
        match name:
            case "text":
                for piece in told["pieces"]:
                    self.pieces[piece["index"]] = self.pieces.get(piece["index"], "") + piece["text"]
            case "truncate":
                self.truncated += 1
                self.pieces.clear()
            case "state":
                self.state = told["state"]

    async def read(self, port: int, job: str, api_key: str) -> None:
        """Read to the job's end, over as many connections as it takes."""
        await asyncio.sleep(self.comes_after)
        while self.state not in TERMINAL:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._read_once(port, job, api_key)
            if self.state not in TERMINAL:
                await asyncio.sleep(PAUSE)

    async def _read_once(self, port: int, job: str, api_key: str) -> None:
        last = f"Last-Event-ID: {self.ids[-1]}\r\n" if self.ids else ""
        # HTTP/1.0 has no chunks: what comes is the stream itself.
        request = f"GET /v1/jobs/{job}/events HTTP/1.0\r\nAuthorization: Bearer {api_key}\r\n{last}\r\n"
        reader, writer = await asyncio.open_connection(HOST, port, limit=LINE)
        try:
            writer.write(request.encode())
            await writer.drain()
            if b" 200 " not in await asyncio.wait_for(reader.readline(), QUIET):
                return
            self.connections += 1
            lines: list[str] = []
            while line := await asyncio.wait_for(reader.readline(), QUIET):
                lines.append(line.decode().rstrip("\r\n"))
                if not lines[-1]:
                    for event in _events(lines):
                        self.take(*event)
                    lines.clear()
        finally:
            writer.close()


def _events(lines: Iterable[str]) -> Iterator[tuple[str, str | None, str]]:
    """Yield the event that lines up to an empty one are, if they are one: name, id, data."""
    fields = dict(line.partition(": ")[::2] for line in lines)
    if "data" in fields:
        yield fields["event"], fields.get("id"), fields["data"]


class Audience:
    """Readers on a thread of their own, so that somebody else can look after the processes."""

    def __init__(self, port: int, job: str, api_key: str, comes_after: Sequence[float]) -> None:
        self.readers = [Reader(seconds) for seconds in comes_after]
        self._where = (port, job, api_key)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()), name="audience", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def done(self) -> bool:
        """Whether all have seen the end."""
        return not self._thread.is_alive()

    async def _read(self) -> None:
        await asyncio.gather(*(reader.read(*self._where) for reader in self.readers))
