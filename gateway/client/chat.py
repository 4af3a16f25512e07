"""The client: its connections, one after the other, and its rooms, which outlive them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from gateway.client.errors import CLOSED, DISCONNECTED, UNREACHABLE, ChatError, refusal
from gateway.client.feed import Connected, Disconnected, Event, Feed
from gateway.client.jobs import Jobs
from gateway.client.line import Address, Line
from gateway.client.marks import Marks
from gateway.client.outbox import now_s
from gateway.client.retrying import STEADY_S, ask_pause_s, connect_pause_s, is_final
from gateway.client.room import Room

log = logging.getLogger("gateway.client")

ROOMS_MAX = 100
"""As many as a connection may be in."""
KEPT = 1000
KEY_LIFE_S = 270.0
"""A little less than the 300 s for which a gateway knows an idempotency key by default."""

Token = Callable[[], Awaitable[str]]


def connect(
    url: str,
    *,
    token: Token | None = None,
    username: str | None = None,
    path: str = "/socket.io",
    transports: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
    kept: int = KEPT,
    key_life_s: float = KEY_LIFE_S,
) -> Chat:
    """A client of the gateway at `url`: `async with connect(…) as chat:`.

    token       asked for a token of now before each connection, and when one is about to end
    username    the name in the rooms, where a token does not say it
    path        where the gateway serves Socket.IO (GATEWAY_PATH, behind GATEWAY_PATH_PREFIX)
    transports  `["websocket"]` or `["polling"]` alone; polling that becomes a WebSocket without
    headers     of the handshake
    kept        how many messages of a room are shown at most
    key_life_s  how long a message that was sent may be repeated: less than the gateway's GATEWAY_IDEMPOTENCY_TTL_S
    """
    address = Address(
        url=url,
        path=path.strip("/"),
        transports=tuple(transports) if transports else None,
        headers=headers or {},
    )
    return Chat(address, token, username, kept, key_life_s)


class Chat:
    """A client. Comes back by itself until it is closed, or the gateway says that it shall not."""

    def __init__(
        self, address: Address, token: Token | None, username: str | None, kept: int, key_life_s: float
    ) -> None:
        """Opens nothing yet."""
        self.line: Line | None = None
        """The connection of now; None while there is none."""
        self.user: str | None = None
        """The user's id, as the token says it; None of a guest."""
        self.username = username
        """The name in the rooms; with a token that has one, that."""
        self.error: ChatError | None = None
        """Why the client has ended; None while it lives."""
        self._address, self._token, self._chosen_name = address, token, username
        self._kept, self._key_life_s = kept, key_life_s
        self._rooms: dict[str, Room] = {}
        self._marks = Marks(_MarksByName(self._rooms))
        self._feed = Feed()
        self._jobs: Jobs | None = None
        self._running: asyncio.Task[None] | None = None
        self._ready, self._over, self._expiring = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._last_error: dict[str, Any] = {}  # the last `error` that is about the connection

    # -- what a program does

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self.line is not None

    @property
    def rooms(self) -> list[Room]:
        """All rooms of this client."""
        return list(self._rooms.values())

    def room(self, name: str) -> Room:
        """The room of that name, which is joined by itself: at once, or at the next connection. Raises ChatError where
        there are 100 already, or the client has ended."""
        if self.error is not None:
            raise self.error
        made = Room(self, name, self._kept, self._key_life_s)
        if (known := self._rooms.get(made.name)) is not None:
            return known
        if len(self._rooms) >= ROOMS_MAX:
            raise ChatError("room_limit", f"A connection may be in {ROOMS_MAX} rooms.")
        made.talking.username = self._chosen_name
        self._rooms[made.name] = made
        if self._jobs is not None and self.line is not None:
            self._jobs.start(made.talking.run(self.line), f"room {made.name}")
        return made

    def events(self) -> AsyncIterator[Event]:
        """All that happens in all rooms, and to the connection; ends when the client is closed."""
        return self._feed.events()

    async def start(self) -> None:
        """Connects, and returns once that has succeeded for the first time: for as long as nobody answers, it tries
        again. Raises ChatError where the gateway refuses this client for good."""
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="chat client")
        await self._ready.wait()
        if self.error is not None:
            raise self.error

    async def wait_closed(self) -> None:
        """Returns when the client was closed. Raises ChatError when the gateway has ended it for good."""
        await self._over.wait()
        if self.error is not None and self.error.code != CLOSED:
            raise self.error

    async def close(self) -> None:
        """Ends the connection. What was said and is not answered yet is given up: await it before."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._end(ChatError(CLOSED, "The program has closed the client."))

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- connections

    async def _run(self) -> None:
        """One connection after the other; each end wakes it, and it waits longer the more of them fail. Ends when the
        gateway refuses this client for good."""
        attempt = in_a_row = 0
        while True:
            begun_s, failed = now_s(), None
            try:
                if not await self._live():
                    self._end(self._sent_away())
                    return
                in_a_row = 0
                if now_s() - begun_s >= STEADY_S:
                    attempt = 0
            except ChatError as refused:
                failed = refused
                in_a_row = 0 if refused.retryable else in_a_row + 1
                if is_final(refused, in_a_row, self._token is not None):
                    self._end(refused)
                    return
                log.info("not connected: %s", refused)
            await asyncio.sleep(connect_pause_s(attempt, failed))
            attempt += 1

    async def _live(self) -> bool:
        """One connection, to its end. Returns whether to come back. Raises ChatError where it cannot be opened."""
        auth: dict[str, Any] = {} if self._token is None else {"token": await self._fetch_token(self._token)}
        self._last_error = {}
        self._expiring.clear()
        self._marks.begin_connect()
        named = [request for room in self.rooms if (request := room.talking.begin_connect()) is not None]
        line = Line(self._address, self)
        await line.open({**auth, "join": named})
        jobs = self._jobs = Jobs(line.ended)
        self.line = line
        try:
            self._start_jobs(line, jobs)
            await line.ended.wait()
        finally:
            self.line = self._jobs = None
            await jobs.close()
            await line.close()
            for room in self.rooms:
                room.talking.end_connection()
            self._feed.publish(Disconnected())
        return not line.is_final

    def _start_jobs(self, line: Line, jobs: Jobs) -> None:
        for room in self.rooms:
            jobs.start(room.talking.run(line), f"room {room.name}")
        jobs.start(self._marks.run(line), "marks")
        if self._token is not None:
            jobs.start(self._refresh(line, self._token), "tokens")
        self._feed.publish(Connected())
        self._ready.set()

    def _sent_away(self) -> ChatError:
        if self._last_error:
            return refusal({**self._last_error, "retryable": False})
        return ChatError(DISCONNECTED, "The gateway has ended the connection, and said not to come back.")

    def _end(self, error: ChatError) -> None:
        if self.error is None:
            self.error = error
            for room in self.rooms:
                room.close(error)
            self._feed.close()
            self._ready.set()
            self._over.set()

    # -- tokens

    async def _fetch_token(self, token: Token) -> str:
        try:
            return await token()
        except Exception as error:  # the program's own function: whatever it raises may pass
            raise ChatError(UNREACHABLE, f"no token: {error!r}", True) from error

    async def _refresh(self, line: Line, token: Token) -> None:
        """A token is about to end: fetches a new one and shows it, for as long as it takes."""
        while True:
            await self._expiring.wait()
            self._expiring.clear()
            attempt, is_shown = 0, False
            while not is_shown:
                refused = await self._show(line, token)
                is_shown = refused is None or not refused.retryable
                if refused is not None:
                    log.warning("the token was not refreshed: %s", refused)
                    await asyncio.sleep(ask_pause_s(attempt, refused))
                attempt += 1

    async def _show(self, line: Line, token: Token) -> ChatError | None:
        try:
            answer = await line.ask("refresh", {"token": await self._fetch_token(token)})
        except ChatError as failed:
            return failed
        return None if answer.get("ok") else refusal(answer)

    # -- for rooms

    def publish(self, event: Event) -> None:
        """Something happened in a room."""
        self._feed.publish(event)

    def mark_soon(self) -> None:
        """A room has a mark that the gateway does not know, or the other way round."""
        if self.user is not None:  # a guest's marks stay here
            self._marks.woken.set()

    def forget(self, room: str) -> None:
        """The program has left the room."""
        self._rooms.pop(room, None)

    # -- from the connection

    def on_event(self, name: str, data: dict[str, Any]) -> None:
        """An event came. One that is not as the contract has it is left out."""
        room = self._rooms.get(data["room"]) if isinstance(data.get("room"), str) else None
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            if room is not None:
                room.on_event(name, data)
            elif name == "welcome":
                self.user, self.username = data["user"], data["username"]
                self.mark_soon()
            elif name == "expiring":
                self._expiring.set()
            elif name == "error" and "event" not in data:
                self._last_error = data


class _MarksByName(Mapping[str, Any]):
    """The marks of rooms, as a view."""

    def __init__(self, rooms: Mapping[str, Room]) -> None:
        self._rooms = rooms

    def __getitem__(self, name: str) -> Any:
        return self._rooms[name].mark

    def __iter__(self) -> Any:
        return iter(self._rooms)

    def __len__(self) -> int:
        return len(self._rooms)
