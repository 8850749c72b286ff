"""A small TCP proxy in front of one server, whose connections can be cut and refused."""

import asyncio
import threading
from asyncio import AbstractEventLoop, StreamReader, StreamWriter
from concurrent.futures import Future
from typing import Self

HOST = "127.0.0.1"
CHUNK = 64 * 1024


class Proxy:
    """Passes bytes between a port of its own and the server's, on a thread of its own."""

    def __init__(self, target: int = 0) -> None:
        self.target = target  # the server's port; may be set later, if nobody connects before
        self._refusing = False
        self._open: set[StreamWriter] = set()
        self._loop: AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop and self._stop:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)

    @property
    def port(self) -> int:
        return self._ready.result(timeout=10)

    def cut(self) -> int:
        """Break every connection, in the middle of whatever it says; returns how many there were."""
        if self._loop is None:
            return 0
        return asyncio.run_coroutine_threadsafe(self._abort_all(), self._loop).result(timeout=10) // 2

    def refuse(self) -> None:
        """Break every connection, and every new one at once."""
        self._refusing = True
        self.cut()

    def allow(self) -> None:
        self._refusing = False

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, HOST, 0, backlog=256)
        self._ready.set_result(int(server.sockets[0].getsockname()[1]))
        await self._stop.wait()
        server.close()
        await self._abort_all()

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._open |= pair
        ways = [asyncio.ensure_future(_pass(reader, far_writer)), asyncio.ensure_future(_pass(far_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= pair
            for way in ways:
                way.cancel()
            for end in pair:
                end.close()

    async def _abort_all(self) -> int:
        ends = list(self._open)
        for end in ends:
            end.transport.abort()
        return len(ends)


async def _pass(reader: StreamReader, writer: StreamWriter) -> None:
    """Pass bytes one way until either end is closed or broken."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return
