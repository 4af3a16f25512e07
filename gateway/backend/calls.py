"""Every method of the server API as a value: what is sent, and how its answer is read.

`Backend` has a method for each. Whoever is asynchronous, or wants several in one request, makes the values itself:

    await AsyncBackend(url, key).do(calls.publish("lobby", "Hello"))
    Backend(url, key).batch([calls.publish("lobby", "Bye"), calls.kick("lobby", "42")])

Does no I/O. Times are Unix seconds; `None` leaves a field to the gateway.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gateway.backend.errors import is_refusal, refusal
from gateway.backend.results import (
    Changed,
    Delivered,
    History,
    Members,
    Moderated,
    Published,
    RoomCount,
    RoomFacts,
    RoomPage,
    Stats,
    User,
    Worker,
)

T_co = TypeVar("T_co", covariant=True)
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One call of a method."""

    method: str
    fields: Mapping[str, Any]
    """What is sent; what is None is left out."""
    read: Callable[[Answer], T_co] = field(repr=False)
    """Reads the answer."""
    is_repeatable: bool = True
    """Whether to call it again does nothing twice."""

    @property
    def sent(self) -> dict[str, Any]:
        """The fields that are given."""
        return {name: value for name, value in self.fields.items() if value is not None}


def publish(
    room: str,
    message: str,
    *,
    username: str | None = None,
    user: str | None = None,
    meta: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[Published]:
    """Stores a message in a room, and tells the room. Without a key of yours it gets a random one."""
    said = _said(message, username, user, meta, idempotency_key)
    return Call("publish", {"room": room, **said}, lambda found: Published(found["id"], found["duplicate"]))


def broadcast(
    rooms: Sequence[str],
    message: str,
    *,
    username: str | None = None,
    user: str | None = None,
    meta: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[list[Delivered]]:
    """Stores a message in each of up to 1,000 rooms; the results stand in their order."""
    said = _said(message, username, user, meta, idempotency_key)
    return Call("broadcast", {"rooms": list(rooms), **said}, _delivered)


def _said(
    message: str, username: str | None, user: str | None, meta: Mapping[str, Any] | None, key: str | None
) -> dict[str, Any]:
    return {
        "message": message,
        "username": username,
        "user": user,
        "meta": None if meta is None else dict(meta),
        "idempotency_key": key if key is not None else uuid.uuid4().hex,
    }


def _delivered(found: Answer) -> list[Delivered]:
    return [Delivered(each["room"], each.get("id"), each.get("code")) for each in found["results"]]


def signal(kind: str, data: Any = None, *, room: str | None = None, user: str | None = None) -> Call[None]:
    """Tells a room, or all sessions of a user, something that is not stored; at most once, so it is never repeated."""
    return Call("signal", {"room": room, "user": user, "kind": kind, "data": data}, _nothing, False)


def history(
    room: str, *, before: str | None = None, after: str | None = None, limit: int | None = None
) -> Call[History]:
    """The last messages of a room; those before or after a position."""
    fields = {"room": room, "before": before, "after": after, "limit": limit}
    return Call(
        "history", fields, lambda found: History(found["messages"], found["id"], found.get("recovered"))
    )


def members(room: str) -> Call[Members]:
    """Who is in a room."""
    return Call("members", {"room": room}, _members)


def _members(found: Answer) -> Members:
    users = [User(each["user"], each["username"]) for each in found["users"]]
    return Members(found["members"], found["count"], users)


def room(room: str) -> Call[RoomFacts]:
    """Where a room is, and how many are there."""
    return Call(
        "room",
        {"room": room},
        lambda found: RoomFacts(found["room"], found["id"], found["count"], found["workers"]),
    )


def rooms(
    prefix: str | None = None, *, cursor: str | None = None, limit: int | None = None
) -> Call[RoomPage]:
    """A page of the rooms in which somebody is. A page may be short; the last one has the cursor None."""
    return Call("rooms", {"prefix": prefix, "cursor": cursor, "limit": limit}, _room_page)


def _room_page(found: Answer) -> RoomPage:
    return RoomPage([RoomCount(each["room"], each["count"]) for each in found["rooms"]], found["cursor"])


def redact(room: str, id: str, *, by: str | None = None) -> Call[Changed]:
    """Takes the text of a message away; members are told. Its place, sender and time stay."""
    return Call("redact", {"room": room, "id": id, "by": by}, _changed)


def edit(room: str, id: str, message: str, *, by: str | None = None) -> Call[Changed]:
    """Gives a message another text; members are told."""
    return Call("edit", {"room": room, "id": id, "message": message, "by": by}, _changed)


def kick(
    room: str,
    user: str | None = None,
    *,
    username: str | None = None,
    for_s: float | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> Call[Moderated]:
    """Takes a user, or the guest `username`, out of a room, and keeps it out for `for_s`."""
    fields = {"room": room, "user": user, "username": username, "for_s": for_s, "reason": reason, "by": by}
    return Call("kick", fields, _moderated)


def mute(
    room: str,
    user: str | None = None,
    *,
    username: str | None = None,
    for_s: float | None = None,
    by: str | None = None,
) -> Call[Moderated]:
    """Keeps a user, or the guest `username`, from speaking in a room; until it is taken back without `for_s`."""
    fields = {"room": room, "user": user, "username": username, "for_s": for_s, "by": by}
    return Call("mute", fields, _moderated)


def unmute(
    room: str, user: str | None = None, *, username: str | None = None, by: str | None = None
) -> Call[Moderated]:
    """Lets somebody speak in a room again."""
    return Call("unmute", {"room": room, "user": user, "username": username, "by": by}, _moderated)


def slow(
    room: str, seconds: float | None = None, *, for_s: float | None = None, by: str | None = None
) -> Call[Moderated]:
    """Sets the least time between two messages of one user in a room; None lets the room's rule count again."""
    return Call("slow", {"room": room, "seconds": seconds, "for_s": for_s, "by": by}, _moderated)


def close(
    room: str, *, for_s: float | None = None, reason: str | None = None, by: str | None = None
) -> Call[Moderated]:
    """Takes everybody out of a room and lets nobody in; until it is opened again without `for_s`."""
    return Call("close", {"room": room, "for_s": for_s, "reason": reason, "by": by}, _moderated)


def reopen(room: str, *, by: str | None = None) -> Call[Moderated]:
    """Lets people into a closed room again."""
    return Call("reopen", {"room": room, "by": by}, _moderated)


def _changed(found: Answer) -> Changed:
    return Changed(found["at"])


def _moderated(found: Answer) -> Moderated:
    return Moderated(found["sessions"], found.get("until"))


def disconnect(user: str, *, reconnect: bool = False, code: str | None = None) -> Call[None]:
    """Ends all sessions of a user, on all workers; `reconnect` lets its clients come back by themselves."""
    return Call("disconnect", {"user": user, "reconnect": reconnect, "code": code}, _nothing)


def revoke(user: str | None = None, *, jti: str | None = None, until: float | None = None) -> Call[None]:
    """Revokes the tokens that a user has now, or the one token `jti`, which ends by itself at `until`."""
    return Call("revoke", {"user": user, "jti": jti, "until": until}, _nothing)


def ban(user: str | None = None, *, ip: str | None = None, until: float | None = None) -> Call[None]:
    """Keeps a user, or an address or network, out; for ever without `until`."""
    return Call("ban", {"user": user, "ip": ip, "until": until}, _nothing)


def unban(user: str | None = None, *, ip: str | None = None) -> Call[None]:
    """Takes a ban back."""
    return Call("unban", {"user": user, "ip": ip}, _nothing)


def stats() -> Call[Stats]:
    """Connections and rooms of all workers that live, and the state of each."""
    return Call("stats", {}, _stats)


def _stats(found: Answer) -> Stats:
    workers = [
        Worker(each["worker"], each["state"], each["connections"], each["rooms"]) for each in found["workers"]
    ]
    return Stats(found["connections"], found["rooms"], workers)


def batch(commands: Sequence[Call[Any]], *, parallel: bool = False) -> Call[list[Any]]:
    """Up to 100 calls in one request, in their order unless `parallel`. The answer has for each what it answers by
    itself, or a `BackendError`: one that is refused does not stop the others."""
    fields = {
        "commands": [{"method": each.method, **each.sent} for each in commands],
        "parallel": parallel or None,
    }
    reads = [each.read for each in commands]

    def read(found: Answer) -> list[Any]:
        return [
            refusal(each) if is_refusal(each) else reader(each)
            for reader, each in zip(reads, found["results"], strict=True)
        ]

    return Call("batch", fields, read, all(each.is_repeatable for each in commands))


def _nothing(found: Answer) -> None:
    return None
