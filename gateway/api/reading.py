"""Looking at rooms and workers through the server API: `history`, `members`, `room`, `rooms` and `stats`.

Reads only, and leaves nothing behind: a room that is not there is not made by asking for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import orjson

from gateway.access.api_keys import READ
from gateway.api.parts import Caller, Parts, Result
from gateway.api.requests import History, Nothing, OneRoom, Rooms
from gateway.protocol import Position, Refusal, receive_json
from gateway.state.history import NOTHING, Snapshot

MEMBERS_MAX = 200
"""Usernames that `members` lists at most, as the event does."""

PAGE_BYTES = 1_048_576
"""Largest answer to `history`, unless one message is larger."""


async def history(parts: Parts, caller: Caller, request: History) -> Result:
    """The messages as members get them, oldest first, and the room's position as `id`."""
    if request.before is not None and request.after is not None:
        raise Refusal("bad_request", "Name 'before' or 'after', not both.")
    here = parts.hub.rooms.get(request.room)
    if here is None and not await parts.histories.exists(request.room):
        return {"messages": [], "id": None}
    snapshot = await parts.histories.snapshot(request.room, here.observed if here is not None else NOTHING)
    limit = request.limit or parts.sizes.history_max
    messages = _page(_wanted(snapshot, request, orjson.dumps(request.room)), request.after is None, limit)
    answer = b'{"messages":[%b],"id":"%b"' % (b",".join(messages), str(snapshot.position).encode())
    if (after := request.after) is not None:
        is_whole = after.epoch == snapshot.epoch and snapshot.holds_all_after(after.seq)
        answer += b',"recovered":' + (b"true" if is_whole else b"false")
    return answer + b"}"


def _wanted(snapshot: Snapshot, request: History, room_json: bytes) -> list[bytes]:
    """All messages that are asked for, oldest first. A position of another epoch says nothing of this history: nothing
    is before it, and everything after."""
    numbered = snapshot.after(0)
    if (before := request.before) is not None:
        is_here = before.epoch == snapshot.epoch
        numbered = [(seq, stored) for seq, stored in numbered if is_here and seq < before.seq]
    elif (after := request.after) is not None and after.epoch == snapshot.epoch:
        numbered = snapshot.after(after.seq) if after.seq <= snapshot.seq else numbered
    return [
        receive_json(stored, room_json, Position(snapshot.epoch, seq), snapshot.more.get(seq, b""))
        for seq, stored in numbered
    ]


def _page(messages: list[bytes], is_newest_first: bool, limit: int) -> list[bytes]:
    """As many as fit, at least one, oldest first: the newest, or those that follow `after`."""
    if not is_newest_first:
        return list(_that_fit(messages[:limit]))
    return list(_that_fit(reversed(messages[-limit:])))[::-1]


def _that_fit(messages: Iterable[bytes]) -> Iterable[bytes]:
    size_bytes = 0
    for message in messages:
        size_bytes += len(message)
        if size_bytes > PAGE_BYTES and size_bytes > len(message):
            return
        yield message


async def members(parts: Parts, caller: Caller, request: OneRoom) -> Result:
    """Up to `MEMBERS_MAX` usernames, how many users there are, and who of them has shown a token."""
    (names, count), users = await asyncio.gather(
        parts.presence.members(request.room, MEMBERS_MAX),
        parts.presence.identified(request.room, MEMBERS_MAX),
    )
    return {"members": names, "count": count, "users": [user._asdict() for user in users]}


async def room(parts: Parts, caller: Caller, request: OneRoom) -> Result:
    """Where the room is, how many users are in it, and which workers have sessions there."""
    facts = await parts.census.room(request.room)
    position = None if facts.position is None else str(facts.position)
    return {"room": request.room, "id": position, "count": facts.users, "workers": facts.workers}


async def rooms(parts: Parts, caller: Caller, request: Rooms) -> Result:
    """A page of rooms with the number of their users. A page may be short; the last one has the cursor null."""
    page = await parts.census.rooms(request.prefix or "", request.cursor or "", request.limit)
    listed = [
        {"room": name, "count": count} for name, count in page.counts.items() if caller.key.allows(READ, name)
    ]
    return {"rooms": listed, "cursor": page.cursor}


async def stats(parts: Parts, caller: Caller, request: Nothing) -> Result:
    """Connections and rooms of all workers that live, and the state of each."""
    workers = await parts.census.states()
    return {
        "connections": sum(state.connections or 0 for state in workers.values()),
        "rooms": await parts.census.count_rooms(),
        "workers": [
            {"worker": name, "state": state.state, "connections": state.connections, "rooms": state.rooms}
            for name, state in sorted(workers.items())
        ],
    }
