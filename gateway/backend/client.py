"""`Backend`: the server API for synchronous programs.

Promises:
- every call ends, with its answer or a `BackendError`, within `give_up_s` and at most one `timeout_s`;
- a call that gets no answer, 429 or 503 is tried again until then, and does nothing twice: what is published has a key;
- one `Backend` serves all threads of a process, and goes on in processes that are forked from it;
- its key stands in no error and in no `repr`.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from gateway.backend import calls
from gateway.backend.attempts import answer_of, body_of, pause_s
from gateway.backend.calls import Call
from gateway.backend.connections import Connections, address_of
from gateway.backend.errors import BackendError
from gateway.backend.results import (
    Changed,
    Delivered,
    History,
    Members,
    Moderated,
    Published,
    RoomFacts,
    RoomPage,
    Stats,
)

T = TypeVar("T")

TIMEOUT_S, GIVE_UP_S = 5.0, 15.0


def headers_of(key: str) -> dict[str, str]:
    """The headers of every request. Raises ValueError for what cannot be a key, without repeating it."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key is what `gateway key new` prints: gwk_ and 43 characters")
    return {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }


class Backend:
    """The server API of a gateway, or of all that are behind one URL."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        give_up_s: float = GIVE_UP_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`url` is where the gateway serves the API: `http://host:port`, `https://…`, `unix:/path`. `timeout_s` is for
        one attempt, `give_up_s` for all of them. Opens nothing yet. Raises ValueError."""
        self._url = url
        self._timeout_s, self._give_up_s = timeout_s, give_up_s
        self._connections = Connections(address_of(url), headers_of(key), tls)

    def __repr__(self) -> str:
        return f"Backend({self._url!r})"

    def do(self, call: Call[T]) -> T:
        """Makes a call of `gateway.backend.calls`. Raises BackendError; TypeError or ValueError for what is no JSON."""
        body, until_s, attempts = body_of(call), time.monotonic() + self._give_up_s, 0
        while True:
            attempts += 1
            try:
                reply = self._connections.post(call.method, body, self._timeout_s)
                return answer_of(call, reply.status, reply.retry_after, reply.body)
            except BackendError as failed:
                left_s = until_s - time.monotonic()
                wait_s = pause_s(call, failed, attempts, left_s, random.random())
                if wait_s is None:
                    raise
            time.sleep(wait_s)

    def close(self) -> None:
        """Closes the connections that are kept; a later call opens its own."""
        self._connections.close()

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what is said

    def publish(
        self,
        room: str,
        message: str,
        *,
        username: str | None = None,
        user: str | None = None,
        meta: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Published:
        """Stores a message in a room, and tells the room. Give a key of yours where the whole task may run again."""
        return self.do(
            calls.publish(
                room, message, username=username, user=user, meta=meta, idempotency_key=idempotency_key
            )
        )

    def broadcast(
        self,
        rooms: Sequence[str],
        message: str,
        *,
        username: str | None = None,
        user: str | None = None,
        meta: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> list[Delivered]:
        """Stores a message in each of up to 1,000 rooms; the results stand in their order."""
        return self.do(
            calls.broadcast(
                rooms, message, username=username, user=user, meta=meta, idempotency_key=idempotency_key
            )
        )

    def signal(
        self, kind: str, data: Any = None, *, room: str | None = None, user: str | None = None
    ) -> None:
        """Tells a room, or all sessions of a user, something that is not stored; at most once."""
        self.do(calls.signal(kind, data, room=room, user=user))

    # -- what is there

    def history(
        self, room: str, *, before: str | None = None, after: str | None = None, limit: int | None = None
    ) -> History:
        """The last messages of a room; those before or after a position."""
        return self.do(calls.history(room, before=before, after=after, limit=limit))

    def members(self, room: str) -> Members:
        """Who is in a room."""
        return self.do(calls.members(room))

    def room(self, room: str) -> RoomFacts:
        """Where a room is, and how many are there."""
        return self.do(calls.room(room))

    def rooms(
        self, prefix: str | None = None, *, cursor: str | None = None, limit: int | None = None
    ) -> RoomPage:
        """A page of the rooms in which somebody is."""
        return self.do(calls.rooms(prefix, cursor=cursor, limit=limit))

    def stats(self) -> Stats:
        """Connections and rooms of all workers that live."""
        return self.do(calls.stats())

    # -- moderation

    def redact(self, room: str, id: str, *, by: str | None = None) -> Changed:
        """Takes the text of a message away; members are told."""
        return self.do(calls.redact(room, id, by=by))

    def edit(self, room: str, id: str, message: str, *, by: str | None = None) -> Changed:
        """Gives a message another text; members are told."""
        return self.do(calls.edit(room, id, message, by=by))

    def kick(
        self,
        room: str,
        user: str | None = None,
        *,
        username: str | None = None,
        for_s: float | None = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> Moderated:
        """Takes a user, or the guest `username`, out of a room, and keeps it out for `for_s`."""
        return self.do(calls.kick(room, user, username=username, for_s=for_s, reason=reason, by=by))

    def mute(
        self,
        room: str,
        user: str | None = None,
        *,
        username: str | None = None,
        for_s: float | None = None,
        by: str | None = None,
    ) -> Moderated:
        """Keeps a user, or the guest `username`, from speaking in a room."""
        return self.do(calls.mute(room, user, username=username, for_s=for_s, by=by))

    def unmute(
        self, room: str, user: str | None = None, *, username: str | None = None, by: str | None = None
    ) -> Moderated:
        """Lets somebody speak in a room again."""
        return self.do(calls.unmute(room, user, username=username, by=by))

    def slow(
        self, room: str, seconds: float | None = None, *, for_s: float | None = None, by: str | None = None
    ) -> Moderated:
        """Sets the least time between two messages of one user in a room; None takes it back."""
        return self.do(calls.slow(room, seconds, for_s=for_s, by=by))

    def close_room(
        self, room: str, *, for_s: float | None = None, reason: str | None = None, by: str | None = None
    ) -> Moderated:
        """Takes everybody out of a room and lets nobody in. (`close` closes this client's connections.)"""
        return self.do(calls.close(room, for_s=for_s, reason=reason, by=by))

    def reopen(self, room: str, *, by: str | None = None) -> Moderated:
        """Lets people into a closed room again."""
        return self.do(calls.reopen(room, by=by))

    # -- who may come

    def disconnect(self, user: str, *, reconnect: bool = False, code: str | None = None) -> None:
        """Ends all sessions of a user, on all workers."""
        self.do(calls.disconnect(user, reconnect=reconnect, code=code))

    def revoke(self, user: str | None = None, *, jti: str | None = None, until: float | None = None) -> None:
        """Revokes the tokens that a user has now, or one token."""
        self.do(calls.revoke(user, jti=jti, until=until))

    def ban(self, user: str | None = None, *, ip: str | None = None, until: float | None = None) -> None:
        """Keeps a user, or an address or network, out."""
        self.do(calls.ban(user, ip=ip, until=until))

    def unban(self, user: str | None = None, *, ip: str | None = None) -> None:
        """Takes a ban back."""
        self.do(calls.unban(user, ip=ip))

    # -- several at once

    def batch(self, commands: Sequence[Call[Any]], *, parallel: bool = False) -> list[Any]:
        """Up to 100 calls in one request; for each what it answers by itself, or a `BackendError`, not raised."""
        return self.do(calls.batch(commands, parallel=parallel))
