"""A TCP relay that holds up what clients send over WebSockets, and nothing else.

On loopback an upgrade is over before anything happens; behind this it takes a while, and polling goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class SlowUpgrades:
    """`async with SlowUpgrades(port, delay_s) as relay:` relays `relay.url` to 127.0.0.1:`port`."""

    def __init__(self, target_port: int, delay_s: float) -> None:
        self.url = ""
        self._target_port, self._delay_s = target_port, delay_s
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        for way in (self._pump(reader, far_writer, True), self._pump(far_reader, writer, False)):
            relay = asyncio.create_task(way)
            self._relays.add(relay)
            relay.add_done_callback(self._relays.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_outward: bool) -> None:
        """Carries one direction until its source ends."""
        is_websocket = False
        try:
            while data := await source.read(CHUNK_BYTES):
                is_websocket |= is_outward and b"transport=websocket" in data.partition(b"\r\n")[0]
                if is_websocket:
                    await asyncio.sleep(self._delay_s)  # the slowness itself, not a wait for anything
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass  # the other side is told by the close below
        finally:
            sink.close()
