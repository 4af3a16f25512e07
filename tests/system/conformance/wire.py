"""Raw clients that know no more than the tests tell them: polling requests and WebSocket messages.

Every wait has a limit. Nothing here answers a ping unless it is asked to.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Self

import aiohttp

from tests.support.waiting import stays, until

LIMIT_S = 10.0
QUIET_S = 0.1
SOON_S = 0.02
"""After this a request has usually reached the server; no test may fail because it has not."""
UNKNOWN = '{"code":1,"message":"Session ID unknown"}'
"""How a session that is not there is refused."""
SEPARATOR = "\x1e"


class Polling:
    """One Engine.IO session over HTTP long-polling."""

    def __init__(self, web: aiohttp.ClientSession, address: str, handshake: dict[str, Any]) -> None:
        self._web, self._address = web, address
        self.handshake = handshake
        self.sid: str = handshake["sid"]

    @classmethod
    async def open(cls, web: aiohttp.ClientSession, address: str) -> Self:
        """Shakes hands; `address` is the server's URL with its path."""
        async with web.get(address, params={"EIO": "4", "transport": "polling"}) as response:
            text = await response.text()
            assert (response.status, text[:1]) == (200, "0"), f"no handshake: {response.status} {text}"
        return cls(web, address, json.loads(text[1:]))

    async def get(self, **query: str) -> tuple[int, str]:
        """Status and body of one poll."""
        async with self._web.get(self._address, params=self._query(query)) as response:
            return response.status, await response.text()

    async def post(self, body: str | bytes, **query: str) -> tuple[int, str]:
        """Status and answer of one request that sends packets."""
        async with self._web.post(self._address, params=self._query(query), data=body) as response:
            return response.status, await response.text()

    @classmethod
    async def connect(cls, web: aiohttp.ClientSession, address: str, namespace: str = "") -> Self:
        """A session that is connected to a Socket.IO namespace; its `auth` event has been read."""
        session = await cls.open(web, address)
        assert await session.post(f"40{namespace}") == (200, "ok")
        packets: list[str] = []
        while len(packets) < 2:
            packets += await session.packets()
        assert packets[0].startswith(f'40{namespace}{{"sid":"'), packets
        assert packets[1] == f'42{namespace}["auth",{{}}]', packets
        return session

    async def packets(self) -> list[str]:
        """The packets of one poll but pings, which are answered."""
        status, body = await self.get()
        assert status == 200, body
        packets = body.split(SEPARATOR)
        if "2" in packets:
            await self.post("3")
        return [packet for packet in packets if packet != "2"]

    async def poll_a_little(self) -> None:
        """Polls, and goes away after `QUIET_S` if nothing was answered."""
        poll = asyncio.create_task(self.get())
        await asyncio.wait({poll}, timeout=QUIET_S)
        poll.cancel()
        await asyncio.wait({poll})

    async def upgrade(self) -> Socket:
        """Opens the session's WebSocket; nothing has been sent over it."""
        return await Socket.open(self._web, self._address, sid=self.sid)

    async def is_closed(self) -> bool:
        """Whether the server no longer knows the session."""
        status, _ = await self.get()
        return status == 400

    async def ended(self) -> None:
        """Polls until the server no longer knows the session: what was answered before comes once."""
        await until(self.is_closed, LIMIT_S, "the session is closed")

    def _query(self, more: dict[str, str]) -> dict[str, str]:
        return {"EIO": "4", "transport": "polling", "sid": self.sid, **more}


class Socket:
    """One WebSocket, as text and binary messages."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self.worker = ""  # the worker that has the session, by the session's id

    @classmethod
    async def open(cls, web: aiohttp.ClientSession, address: str, **query: str) -> Self:
        """Opens a WebSocket with the query `EIO=4&transport=websocket` and `query`."""
        whole = {"EIO": "4", "transport": "websocket", **query}
        wanted = {name: value for name, value in whole.items() if value}
        return cls(await web.ws_connect(address, params=wanted, max_msg_size=0))

    @classmethod
    async def open_session(cls, web: aiohttp.ClientSession, address: str) -> Self:
        """Opens a session without polling: the handshake packet has been read."""
        socket = await cls.open(web, address)
        packet = await socket.receive()
        assert isinstance(packet, str), packet
        assert packet[:1] == "0", packet
        socket.worker = json.loads(packet[1:])["sid"].partition(".")[0]
        return socket

    @classmethod
    async def connect(cls, web: aiohttp.ClientSession, address: str, namespace: str = "") -> Self:
        """Opens a session that is connected to a Socket.IO namespace; its `auth` event has been read."""
        socket = await cls.open_session(web, address)
        await socket.send(f"40{namespace}")
        for beginning in (f"40{namespace}", f"42{namespace}"):
            packet = await socket.receive_answering()
            assert isinstance(packet, str), packet
            assert packet.startswith(beginning), packet
        return socket

    async def send(self, *messages: str | bytes) -> None:
        """Sends each as a message of its own."""
        for message in messages:
            if isinstance(message, str):
                await self._connection.send_str(message)
            else:
                await self._connection.send_bytes(message)

    async def send_frame(self, message: bytes, opcode: aiohttp.WSMsgType) -> None:
        """Sends one frame as it is, valid or not."""
        await self._connection.send_frame(message, opcode)

    async def receive(self, limit_s: float = LIMIT_S) -> str | bytes:
        """The next message; fails when the connection closes instead."""
        message = await self._next(limit_s)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), f"closed: {message!r}"
        data: str | bytes = message.data
        return data

    async def receive_answering(self, limit_s: float = LIMIT_S) -> str | bytes:
        """The next message that is not a ping; pings are answered."""
        async with asyncio.timeout(limit_s):
            while (message := await self.receive(limit_s)) == "2":
                await self.send("3")
        return message

    async def closed_after_s(self, limit_s: float = LIMIT_S, is_answering: bool = False) -> float:
        """Waits until the server closes the connection, whatever else it sends; the seconds that took.

        Pings are answered if `is_answering`.
        """
        start_s = time.monotonic()
        async with asyncio.timeout(limit_s):
            while (message := await self._next(limit_s)).type in (
                aiohttp.WSMsgType.TEXT,
                aiohttp.WSMsgType.BINARY,
            ):
                if is_answering and message.data == "2":
                    await self.send("3")
        return time.monotonic() - start_s

    @property
    def close_code(self) -> int | None:
        """The code with which the connection closed, if it is."""
        return self._connection.close_code

    async def close(self) -> None:
        """Closes from this side."""
        await self._connection.close()

    async def _next(self, limit_s: float) -> aiohttp.WSMessage:
        async with asyncio.timeout(limit_s):
            return await self._connection.receive()


async def says(socket: Socket, *expected: str | bytes) -> None:
    """Checks the next messages, in order; pings between them are answered."""
    assert [await socket.receive_answering() for _ in expected] == list(expected)


async def status_of(web: aiohttp.ClientSession, method: str, address: str, query: dict[str, str]) -> int:
    """The status of a request without a body."""
    async with web.request(method, address, params=query) as response:
        return response.status


async def is_refused(web: aiohttp.ClientSession, address: str, **query: str) -> bool:
    """Whether a WebSocket is not opened, or closed before anything is sent over it."""
    try:
        socket = await Socket.open(web, address, **query)
    except aiohttp.WSServerHandshakeError as error:
        return error.status == 400
    await socket.closed_after_s()
    return True


async def quiet(for_s: float) -> None:
    """Says and asks nothing for so long, where silence is what is tried."""
    await stays(lambda: True, for_s)
