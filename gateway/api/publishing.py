"""Saying something through the server API: `publish`, `broadcast` and `signal`.

A publish through it is the ordinary publish: the same script, one order, one position, the same limits of size. A room
that no session of this worker is in is made, as for a client on the way back, and given up when it has been quiet:
until then a failover that loses the message is noticed here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import orjson

from gateway.access.api_keys import PUBLISH, ApiKey
from gateway.api.parts import Caller, Parts, Result
from gateway.api.requests import Broadcast, Publish, Said, Signal
from gateway.chat.not_allowed import not_allowed
from gateway.errors import KeyReused, Moderated, StoreError, StoreUnavailable
from gateway.protocol import Refusal, entry_head
from gateway.rooms.outcomes import StoredBefore
from gateway.rooms.publish_commands import Once
from gateway.rooms.publisher import OnPublished
from gateway.rooms.room import Room

SENDER = "\x1fkey:"
"""What stands before the name of an API key where it is the sender of an idempotency key: no user's id begins so."""

KEY_REUSED = "Another message was published with this idempotency key."

ROOMS_AT_ONCE = 25
"""Rooms of a broadcast that are told before clients have their turn: to make a room takes some 30 µs."""

RELEASED_FOR_S = 2.0
"""A quiet room is given up later than it would be if less than this is left: not noted for each message."""


async def publish(parts: Parts, caller: Caller, request: Publish) -> Result:
    """Answers once the script has."""
    answered: asyncio.Future[str | StoreError] = asyncio.get_running_loop().create_future()

    def on_result(result: str | StoreError) -> None:
        if not answered.done():  # the caller may be gone
            answered.set_result(result)

    _Saying(parts, caller.key, request).into(request.room, on_result)
    result = await answered
    if isinstance(result, StoreError):
        raise refusal_of(result) from result
    is_duplicate = b"true" if isinstance(result, StoredBefore) else b"false"
    return b'{"id":"%b","duplicate":%b}' % (result.encode(), is_duplicate)


async def broadcast(parts: Parts, caller: Caller, request: Broadcast) -> Result:
    """All rooms are under way before the first answer is waited for; the results stand in the order of the rooms."""
    saying = _Saying(parts, caller.key, request)
    results = _Results(request.rooms)
    with parts.load.held_rooms(len(request.rooms)):
        for place, room in enumerate(request.rooms):
            if place and not place % ROOMS_AT_ONCE:
                await parts.turns.come()
            try:
                if not caller.key.allows(PUBLISH, room):
                    raise Refusal("forbidden")
                saying.into(room, results.taker(place))
            except Refusal as refusal:
                results.refuse(place, refusal.code)
        await results.all_there()
    return results.as_json()


class _Saying:
    """One message on its way into rooms."""

    def __init__(self, parts: Parts, key: ApiKey, said: Said) -> None:
        self._parts = parts
        self._said = said
        self._username = said.username or parts.sizes.system_name
        self._head = entry_head(said.message, self._username)
        self._more = _more(said)
        self._once: Once | None = None
        if said.idempotency_key is not None:
            self._once = Once(
                SENDER + key.name, self._username, said.idempotency_key, _content(said, self._username)
            )

    def into(self, name: str, on_result: OnPublished) -> None:
        """Publishes it into a room; `on_result` gets the position or the error. Raises Refusal."""
        hub = self._parts.hub
        if name not in hub.rooms:
            self._parts.load.make_room(time.monotonic())
        room = hub.room(name)
        self._parts.publisher.publish(
            room, self._head, self._once, on_result, more=self._more, is_exempt=True
        )
        _release(self._parts, room)


def _content(said: Said, username: str) -> str:
    """All that is said, by which a message under the same key is known again; the fields of `meta` in any order."""
    meta = b"" if said.meta is None else orjson.dumps(orjson.loads(said.meta), option=orjson.OPT_SORT_KEYS)
    return f"{username}\0{said.user or ''}\0{meta.decode()}\0{said.message}"


def _more(said: Said) -> bytes:
    """What goes with the message, as members get it behind its `id`."""
    members = [b'"user":' + orjson.dumps(said.user)] if said.user is not None else []
    if said.meta is not None:
        members.append(b'"meta":' + said.meta)
    return b",".join(members)


def _release(parts: Parts, room: Room) -> None:
    """Nobody may be in it here, or ever come."""
    if room.is_idle and room.idle_due_s - time.monotonic() < RELEASED_FOR_S:
        parts.hub.release(room)


class _Results:
    """What comes of each room, in their order."""

    def __init__(self, rooms: tuple[str, ...]) -> None:
        self._rooms = rooms
        self._ids: list[str] = [""] * len(rooms)
        self._codes: list[str] = [""] * len(rooms)
        self._left = len(rooms)
        self._done = asyncio.Event()

    def taker(self, place: int) -> Callable[[str | StoreError], None]:
        """Takes the result of the room at that place."""

        def take(result: str | StoreError) -> None:
            if isinstance(result, StoreError):
                self.refuse(place, refusal_of(result).code)
            else:
                self._ids[place] = result
                self._count()

        return take

    def refuse(self, place: int, code: str) -> None:
        """Nothing was stored in the room at that place, or nobody knows."""
        self._codes[place] = code
        self._count()

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self._done.set()

    async def all_there(self) -> None:
        """Returns when every room has its result. Raises Refusal if all have the same trouble."""
        await self._done.wait()
        if len(codes := set(self._codes)) == 1 and (code := codes.pop()):
            raise Refusal(code)

    def as_json(self) -> bytes:
        """The answer."""
        rows = [
            {"room": room, "code": code} if code else {"room": room, "id": position}
            for room, position, code in zip(self._rooms, self._ids, self._codes, strict=True)
        ]
        return orjson.dumps({"results": rows})


def refusal_of(error: StoreError) -> Refusal:
    """What the caller is told of what the store did not do."""
    if isinstance(error, KeyReused):
        return Refusal("bad_request", KEY_REUSED, reason="key_reused")
    if isinstance(error, Moderated):
        return not_allowed(error, "send")
    return Refusal("unavailable" if isinstance(error, StoreUnavailable) else "internal")


async def signal(parts: Parts, caller: Caller, request: Signal) -> Result:
    """Nobody hears whether it came."""
    if (request.room is None) == (request.user is None):
        raise Refusal("bad_request", "Name the 'room' or the 'user' that is told.")
    told = {"kind": request.kind, "username": parts.sizes.system_name}
    if request.room is not None:
        told = {"room": request.room, **told}
    data = orjson.dumps(told)
    if request.data is not None:
        data = b'%b,"data":%b}' % (data[:-1], request.data)
    if request.user is not None:
        await parts.control.say("signal", user=request.user, data=orjson.Fragment(data))
    else:
        assert request.room is not None
        parts.publisher.tell(request.room, "signal", data)
    return {}
