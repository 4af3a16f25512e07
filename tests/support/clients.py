"""A light Socket.IO client for tests that need hundreds of members, or a closer look than stock clients give.

Speaks Engine.IO v4 and Socket.IO v5 on `/` over aiohttp. Keeps all that arrives, in the order of its arrival.
It never reconnects and never judges what it sees.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from typing import Any, Literal, NamedTuple, Self

import aiohttp
import orjson

Transport = Literal["websocket", "polling", "upgrade"]
LIMIT_S = 10.0


class HandshakeRefused(ConnectionError):
    """The gateway did not open a session; `status`, `headers` and `body` are what it answered."""

    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        super().__init__(f"handshake refused with {status}: {body[:200]}")
        self.status, self.headers, self.body = status, headers, body


class Arrival(NamedTuple):
    """One thing that came in: `name` is the event's, or `ack <number>`."""

    name: str
    data: Any


class Member:
    """One connection. `connect` it, `call` and `emit` events, look at `received`, `errors` and `arrivals`."""

    def __init__(
        self,
        url: str,
        keep_alive: bool = False,
        tls: ssl.SSLContext | None = None,
        from_address: str | None = None,
    ) -> None:
        self.url = f"{url}/socket.io/"
        self.received: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.arrivals: list[Arrival] = []
        self.closed = asyncio.Event()
        self.sid = self.socket_id = ""
        self.handshake: dict[str, Any] = {}
        self.was_disconnected = False
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                force_close=not keep_alive,
                ssl=tls or True,
                local_addr=(from_address, 0) if from_address is not None else None,
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=LIMIT_S),
        )
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._posting = asyncio.Lock()
        self._polling_turn = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        transport: Transport = "websocket",
        auth: dict[str, Any] | None = None,
        keep_alive: bool = False,
        tls: ssl.SSLContext | None = None,
        limit_s: float = LIMIT_S,
        from_address: str | None = None,
    ) -> Self:
        """A member whose Socket.IO session is open; `url` is `http://host:port`, or `https://` with `tls`.

        `keep_alive=False` makes each polling request a connection of its own, so that it reaches any worker.
        `from_address` is one of this machine's: on Linux all that begin with 127 are.
        Raises HandshakeRefused, ConnectionError or TimeoutError.
        """
        member = cls(url, keep_alive, tls, from_address)
        await member.open(transport, auth, limit_s)
        return member

    async def open(
        self, transport: Transport = "websocket", auth: dict[str, Any] | None = None, limit_s: float = LIMIT_S
    ) -> None:
        """Opens the session, as `connect` does; leaves nothing open when that fails."""
        try:
            async with asyncio.timeout(limit_s):
                await self._open(transport, auth)
        except BaseException:
            await self.close()
            raise

    @property
    def transport(self) -> str:
        """`websocket` or `polling`, as it is now."""
        return "polling" if self._socket is None else "websocket"

    def messages(self, room: str) -> list[str]:
        """Texts of the stored messages seen in a room, in the order of arrival; notices are left out."""
        return [data["message"] for data in self.received if data.get("room") == room and "id" in data]

    def ids(self, room: str) -> list[str]:
        """Positions of the stored messages seen in a room, in the order of arrival."""
        return [data["id"] for data in self.received if data.get("room") == room and "id" in data]

    def notices(self, room: str) -> list[str]:
        """Texts of the notices seen in a room, in the order of arrival."""
        return [data["message"] for data in self.received if data.get("room") == room and "id" not in data]

    async def call(self, event: str, data: Any, limit_s: float = LIMIT_S) -> Any:
        """Emits and returns what it is acknowledged with. Raises ConnectionError or TimeoutError."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self.send_packet(f"42{number}{_json([event, data])}")
            return await asyncio.wait_for(waiting, limit_s)
        except TimeoutError as late:
            raise TimeoutError(f"{event} was not acknowledged within {limit_s:g} s") from late
        finally:
            self._waiting.pop(number, None)

    async def emit(self, event: str, *arguments: Any) -> None:
        """Sends an event without asking for an acknowledgement; with any arguments, also none."""
        await self.send_packet(f"42{_json([event, *arguments])}")

    async def join(self, username: str, room: str, **more: Any) -> Any:
        """Joins and returns the acknowledgement."""
        return await self.call("join", {"username": username, "room": room, **more})

    async def send(self, room: str, message: str, **more: Any) -> Any:
        """Sends a message to a room and returns the acknowledgement."""
        return await self.call("send", {"room": room, "message": message, **more})

    async def send_packet(self, packet: str) -> None:
        """Sends one Engine.IO packet as it is. Raises ConnectionError when the session has ended."""
        if self.closed.is_set():
            raise ConnectionResetError("the session has ended")
        if self._socket is None:
            async with self._posting:  # which waits for an upgrade to end
                if self._socket is None:
                    return await self._post(packet)
        return await self._send_over_websocket(packet)

    async def close(self) -> None:
        """Says goodbye if it still can, and ends the connection."""
        if not self.closed.is_set() and self._connected.done():
            try:
                await asyncio.wait_for(self.send_packet("41"), 1)
            except (ConnectionError, aiohttp.ClientError, TimeoutError):
                pass  # it is gone, which is what we want
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            if not self._reader.cancelled():
                self._reader.result()  # a packet that could not be read is an error of the test
        if self._socket is not None:
            await self._socket.close()
        await self._http.close()
        self._end()

    def abort(self) -> None:
        """Cuts the TCP connection without a word, as a lost network does once it is noticed."""
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            connection = self._socket._conn  # aiohttp 3.14 has no public way to cut a WebSocket
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
        self._end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _open(self, transport: Transport, auth: dict[str, Any] | None) -> None:
        if transport == "websocket":
            await self._open_websocket()
        else:
            self._take_handshake((await self._poll())[0])
        self._reader = asyncio.create_task(self._read())
        await self.send_packet("40" + (_json(auth) if auth is not None else ""))
        await self._connected
        if transport == "upgrade":
            await self._upgrade()

    async def _open_websocket(self) -> None:
        try:
            self._socket = await self._dial()
        except aiohttp.WSServerHandshakeError as refused:
            raise HandshakeRefused(refused.status, dict(refused.headers or {}), refused.message) from refused
        self._take_handshake(await self._socket.receive_str())

    async def _dial(self, **query: str) -> aiohttp.ClientWebSocketResponse:
        params = {"EIO": "4", "transport": "websocket", **query}
        return await self._http.ws_connect(self.url, params=params, max_msg_size=0, compress=0)

    def _take_handshake(self, packet: str) -> None:
        if not packet.startswith("0"):
            raise ConnectionError(f"not a handshake: {packet[:200]!r}")
        self.handshake = orjson.loads(packet[1:])
        self.sid = self.handshake["sid"]

    async def _upgrade(self) -> None:
        """Moves to WebSocket as stock clients do: no POST meanwhile, and the last poll is answered before."""
        async with self._posting:
            socket = await self._dial(sid=self.sid)
            await socket.send_str("2probe")
            answer = await socket.receive_str()
            if answer != "3probe":
                raise ConnectionError(f"not the answer to a probe: {answer[:200]!r}")
            async with self._polling_turn:
                await socket.send_str("5")
                self._socket = socket

    async def _read(self) -> None:
        try:
            while self._socket is None:
                async with self._polling_turn:
                    packets = await self._poll() if self._socket is None else []
                for packet in packets:
                    await self._take(packet)
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await self._take(message.data)
        except (ConnectionError, aiohttp.ClientError) as lost:
            if not self._connected.done():
                self._connected.set_exception(lost)
        finally:
            self._end()

    async def _send_over_websocket(self, packet: str) -> None:
        assert self._socket is not None
        try:
            await self._socket.send_str(packet)
        except aiohttp.ClientError as lost:
            raise ConnectionError("the session has ended") from lost

    async def _poll(self) -> list[str]:
        async with self._http.get(self.url, params=self._polling()) as response:
            body = await response.text()
            if response.status != 200:
                raise HandshakeRefused(response.status, dict(response.headers), body)
            return body.split("\x1e")  # the record separator of Engine.IO

    async def _post(self, body: str) -> None:
        try:
            async with self._http.post(self.url, params=self._polling(), data=body) as response:
                if response.status != 200:
                    raise ConnectionError(f"POST answered {response.status}: {await response.text()}")
        except aiohttp.ClientError as lost:
            raise ConnectionError("the session has ended") from lost

    def _polling(self) -> dict[str, str]:
        return {"EIO": "4", "transport": "polling", **({"sid": self.sid} if self.sid else {})}

    async def _take(self, packet: str) -> None:
        match packet[:1]:
            case "2":
                await self.send_packet("3" + packet[1:])
            case "1":
                raise ConnectionResetError("closed by the gateway")
            case "4":
                self._take_message(packet[1:])

    def _take_message(self, packet: str) -> None:
        match packet[:1]:
            case "0":
                self.socket_id = orjson.loads(packet[1:])["sid"]
                if not self._connected.done():  # the time for it may be over
                    self._connected.set_result(None)
            case "1":
                self.was_disconnected = True
            case "2":
                self._take_event(*orjson.loads(packet[1:]))
            case "3":
                digits = packet[1 : packet.index("[")]
                self._take_acknowledgement(int(digits), orjson.loads(packet[1 + len(digits) :]))
            case "4" if not self._connected.done():
                self._connected.set_exception(ConnectionRefusedError(packet[1:]))

    def _take_event(self, name: str, data: Any = None, *more: Any) -> None:
        self.arrivals.append(Arrival(name, data))
        if name == "receive":
            self.received.append(data)
        elif name == "error":
            self.errors.append(data)

    def _take_acknowledgement(self, number: int, arguments: list[Any]) -> None:
        data = arguments[0] if arguments else None
        self.arrivals.append(Arrival(f"ack {number}", data))
        if (waiting := self._waiting.get(number)) is not None and not waiting.done():
            waiting.set_result(data)

    def _end(self) -> None:
        self.closed.set()
        for waiting in [self._connected, *self._waiting.values()]:
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the session has ended"))
                waiting.exception()  # it is told to whoever still waits, and to nobody else
        self._waiting.clear()


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
