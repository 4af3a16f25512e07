"""A TCP proxy between a gateway and its Valkey that can become a black hole, cut, or slow.

Owns its listening port and the connections through it. Promises that a black hole shows no FIN and no RST
to either side: what is on its way then is kept back and goes on when the hole closes, as TCP's own resending
would have it. Runs in the event loop of the test.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class Proxy:
    """`async with Proxy(port) as proxy:` forwards 127.0.0.1:`proxy.port` to 127.0.0.1:`port`."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.asked = 0
        """How many pieces went to the server: one for each round trip, and more where one is large."""
        self._target_port = target_port
        self._passes = asyncio.Event()
        self._passes.set()
        self._answers_pass = asyncio.Event()
        self._answers_pass.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return len(self._writers) // 2

    def swallow(self) -> None:
        """Becomes a black hole in both directions; new connections are accepted and hear nothing."""
        self._passes.clear()

    def swallow_answers(self) -> None:
        """Passes on what is asked, and nothing of what is answered."""
        self._answers_pass.clear()

    def forward(self) -> None:
        """Passes everything on again, first of all what was kept back."""
        self._passes.set()
        self._answers_pass.set()

    def cut(self) -> None:
        """Resets all connections on both sides; new ones are welcome."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.forward()
        self.cut()
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink, passes, asks in (
            (reader, far_writer, self._passes, 1), (far_reader, writer, self._answers_pass, 0),
        ):  # fmt: skip
            pump = asyncio.create_task(self._pump(source, sink, passes, asks))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passes: asyncio.Event, asks: int
    ) -> None:
        """Carries one direction. Ends with its source, and ends its sink the way the source ended."""
        try:
            while data := await source.read(CHUNK_BYTES):
                self.asked += asks
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)  # the fault itself, not a wait for anything
                await self._passes.wait()
                await passes.wait()
                sink.write(data)
                await sink.drain()
            await self._passes.wait()
            sink.close()
        except OSError:
            await self._passes.wait()
            sink.transport.abort()
        finally:
            self._writers.discard(sink)
