"""The process of the hostile sockets: `python -m loadtest.hostile.attacker <port> <kinds> <sockets> <bytes>`.

Of each kind (several are divided by semicolons) there are so many. Each connects, says what its kind says first, waits
for a line on standard input, and then sends blocks as fast as they are taken: `bytes` in all, or without an end if that
is 0. One that is ended comes back after `AGAIN_S`. It reads, and throws away, all that it gets. Prints `ready` once all
are connected, and what happened, in JSON, when told to end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass

from loadtest.hostile.kinds import KINDS, TEXT, Kind, frame

AGAIN_S = 0.1
"""A pause between two connections: what is measured is what a connection can do, not a storm of handshakes."""


@dataclass(slots=True)
class Done:
    """What the hostile sockets did."""

    sent_bytes: int = 0
    ended: int = 0


class Attack:
    """All hostile sockets of one kind."""

    def __init__(self, port: int, kind: Kind, most_bytes: int) -> None:
        self._port, self.kind, self._most_bytes = port, kind, most_bytes
        self.go = asyncio.Event()
        self.done = Done()

    async def keep_on(self, ready: asyncio.Event) -> None:
        """One socket; again whenever it is ended. Without kind (`idle`) it does nothing."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, ConnectionError):
                await self._once(ready)
                if self._most_bytes:
                    return
            self.done.ended += 1
            await asyncio.sleep(AGAIN_S)

    async def _once(self, ready: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            if self.kind.transport == "websocket":
                await self._connect(reader, writer)
            ready.set()
            await self.go.wait()
            async with asyncio.TaskGroup() as both:
                reading = both.create_task(_read(reader))
                both.create_task(self._send(writer, reading))
        except* OSError as lost:
            raise ConnectionError("ended") from lost
        finally:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if self.kind.compression else ""
        writer.write(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{deflate}"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await reader.readuntil(b"0{")
        writer.write(frame(TEXT, b"40"))
        await reader.readuntil(b"40{")
        writer.write(self.kind.first)

    async def _send(self, writer: asyncio.StreamWriter, reading: asyncio.Task[None]) -> None:
        block = self.kind.block
        if self.kind.transport == "polling":
            sid = await self._open_polling()
            head = f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
            block = f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block
        sent = 0
        while not self._most_bytes or sent < self._most_bytes:
            writer.write(block)
            await writer.drain()
            sent += len(block)
            self.done.sent_bytes += len(block)
            if not self.kind.block or reading.done():
                raise ConnectionError("ended")
        if self.kind.transport == "websocket":
            await reading

    async def _open_polling(self) -> str:
        """A session over polling, on connections of their own."""
        url = "/socket.io/?EIO=4&transport=polling"
        opened = await self._request(f"GET {url}", b"")
        sid: str = json.loads(opened[opened.index(b"{") :])["sid"]
        await self._request(f"POST {url}&sid={sid}", b"40")
        return sid

    async def _request(self, line: str, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        try:
            return (await reader.read()).partition(b"\r\n\r\n")[2]
        finally:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


async def main(port: int, kinds: list[Kind], sockets: int, most_bytes: int) -> None:
    """Connects all, waits for the word, and goes on until standard input ends."""
    attacks = [Attack(port, kind, most_bytes) for kind in kinds]
    ready = [(attack, asyncio.Event()) for attack in attacks for _ in range(sockets)]
    tasks = [asyncio.create_task(attack.keep_on(each)) for attack, each in ready]
    for _, each in ready:
        await each.wait()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    if await loop.run_in_executor(None, sys.stdin.readline) == "go\n":
        for attack in attacks:
            attack.go.set()
        await loop.run_in_executor(None, sys.stdin.readline)
    done = [attack.done for attack in attacks]
    print(
        json.dumps({"sent_bytes": sum(d.sent_bytes for d in done), "ended": sum(d.ended for d in done)}),
        flush=True,
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    _, port, names, sockets, most_bytes = sys.argv
    # Elsewhere they have machines of their own; here they must not take the processor from those who measure.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(10)
    chosen = [kind for kind in KINDS if kind.name in names.split(";")]
    asyncio.run(main(int(port), chosen or [Kind("idle", b"")], int(sockets), int(most_bytes)))
