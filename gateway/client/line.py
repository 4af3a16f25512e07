"""One connection to the gateway, from CONNECT to its end; a client of python-socketio made for it alone.

Owns the library's client and its HTTP session. Promises that a question is answered: by the gateway, or with
`no_answer` when the connection ends or the time is over. Never reconnects: that is `chat.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import engineio
import socketio

from gateway.client.errors import NO_ANSWER, UNREACHABLE, ChatError, refusal

OPEN_LIMIT_S = 10.0
"""From the handshake to the answer to CONNECT."""
ANSWER_LIMIT_S = 5.0
GOODBYE_LIMIT_S = 1.0
"""How long the end of a connection may take that the program closes."""

UNANSWERED: dict[str, Any] = {"ok": False, "code": NO_ANSWER, "message": "No answer came.", "retryable": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the gateway is, and how it is reached. `transports` None is polling that becomes a WebSocket."""

    url: str
    path: str = "socket.io"
    transports: tuple[str, ...] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


AtOnce = Callable[[Mapping[str, Any]], None]


class LineEvents(Protocol):
    """Who is told what comes over a connection."""

    def on_event(self, name: str, data: dict[str, Any]) -> None:
        """An event came. The one who is told must not wait, or the next would come first."""


class Line:
    """A connection. `ended` is set once it is gone."""

    def __init__(self, address: Address, events: LineEvents) -> None:
        self._address, self._events = address, events
        self.ended = asyncio.Event()
        self.is_final = False  # the gateway has said DISCONNECT: it wants this client to stay away
        self.sending = asyncio.Lock()  # messages go one at a time: what is too much is refused once
        self._waiting: set[asyncio.Future[dict[str, Any]]] = set()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._session: aiohttp.ClientSession | None = None
        self._client: Any = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def transport(self) -> str:
        """`polling` or `websocket`."""
        return str(self._client.transport())

    async def open(self, auth: Mapping[str, Any]) -> None:
        """Connects. Raises ChatError: refused by the gateway, or unreachable."""
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await self._open(auth)
                await self._opened
        except (TimeoutError, aiohttp.ClientError, OSError, socketio.exceptions.SocketIOError) as error:
            await self.close()
            if self._opened.done() and isinstance(refused := self._opened.exception(), ChatError):
                raise refused from error
            raise ChatError(UNREACHABLE, str(error) or type(error).__name__, True) from error
        except BaseException:
            await self.close()
            raise

    async def _open(self, auth: Mapping[str, Any]) -> None:
        self._session = aiohttp.ClientSession()
        client = self._client = socketio.AsyncClient(
            reconnection=False, handle_sigint=False, http_session=self._session
        )
        client.on("*", self._on_event)
        client.on("connect", self._on_connect)
        client.on("connect_error", self._on_refused)
        client.on("disconnect", self._on_disconnect)
        await client.connect(
            self._address.url,
            headers=dict(self._address.headers),
            auth=dict(auth),
            transports=list(self._address.transports) if self._address.transports else None,
            namespaces=["/"],
            socketio_path=self._address.path,
            wait=False,
        )
        self._watching = asyncio.create_task(self._watch())

    async def ask(
        self,
        event: str,
        data: Mapping[str, Any],
        limit_s: float = ANSWER_LIMIT_S,
        at_once: AtOnce | None = None,
    ) -> dict[str, Any]:
        """Emits, and returns the answer; UNANSWERED where none comes. `at_once` is given an answer that came, before
        whatever comes after it."""
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def on_answer(answer: Any = None, *_: Any) -> None:
            found = answer if isinstance(answer, dict) else UNANSWERED
            if not answered.done():
                answered.set_result(found)
                if at_once is not None:
                    at_once(found)

        self._waiting.add(answered)
        try:
            await self._client.emit(event, dict(data), callback=on_answer)
            async with asyncio.timeout(limit_s):
                return await answered
        except (TimeoutError, socketio.exceptions.SocketIOError):
            return UNANSWERED
        finally:
            self._waiting.discard(answered)

    async def tell(self, event: str, data: Mapping[str, Any]) -> None:
        """Emits what needs no answer; lost if the connection is."""
        with contextlib.suppress(socketio.exceptions.SocketIOError):
            await self._client.emit(event, dict(data))

    async def close(self) -> None:
        """Ends the connection, and all that belongs to it: the library leaves some of it where an end is not clean."""
        self._end()
        if self._client is not None:
            engine = self._client.eio
            tasks = [each for each in (engine.read_loop_task, engine.write_loop_task, self._watching) if each]
            with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError):
                async with asyncio.timeout(GOODBYE_LIMIT_S):
                    await (
                        self._client.disconnect() if engine.read_loop_task else engine.disconnect(abort=True)
                    )
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(ValueError):
                engineio.base_client.connected_clients.remove(engine)
        if self._session is not None:
            await self._session.close()

    # -- from the library

    async def _watch(self) -> None:
        try:
            await self._client.eio.wait()
        finally:
            self._end()

    def _on_event(self, name: str, data: Any = None, *_: Any) -> None:
        if not self.ended.is_set() and isinstance(data, dict):
            self._events.on_event(name, data)

    def _on_connect(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_refused(self, said: Any = None) -> None:
        if not self._opened.done() and isinstance(said, dict) and isinstance(said.get("data"), dict):
            self._fail(refusal({"message": said.get("message"), **said["data"]}))

    def _on_disconnect(self, reason: str = "", *_: Any) -> None:
        # CLOSE of the engine has the same reason, and means no more than that this worker stops.
        is_packet = reason == self._client.reason.SERVER_DISCONNECT and self._client.eio.state == "connected"
        self.is_final |= is_packet
        self._end()

    def _end(self) -> None:
        self.ended.set()
        for answered in self._waiting:
            if not answered.done():
                answered.set_result(UNANSWERED)
        if not self._opened.done():
            self._fail(ChatError(UNREACHABLE, "The connection was closed before it was answered.", True))

    def _fail(self, error: ChatError) -> None:
        self._opened.set_exception(error)
        self._opened.exception()  # whoever opens may have been told otherwise: it is nobody's surprise then
