"""Whether Redis takes the writes that the gateway lives on.

Owns a room that nobody can join: people's rooms have no `{` in their names. In it, everything that a message needs is
done and taken away again, on each server that takes writes. So a user without rights, a full or read-only server, and
one that cannot save are found by asking, before a client finds them.
"""

from __future__ import annotations

import asyncio

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import CommandStore, Reply
from gateway.state.scripts import READY


def room(number: int) -> str:
    """A room that nobody can join; by the number it lies in another slot of a Cluster."""
    return f"{{{number}"


def history_key(number: int) -> bytes:
    """The key that decides where such a room lies."""
    return keys.history(room(number))


class WriteCheck:
    """Asks for writes of every kind that this worker needs."""

    def __init__(self, store: CommandStore, worker: str, publish_verb: bytes) -> None:
        """`publish_verb` is the route's: sharded or not."""
        self._store = store
        self._worker = worker
        self._publish_verb = publish_verb

    async def failure(self) -> StoreError | None:
        """Why one of them did not pass, or None. All are under way together; none changes anything that stays."""
        asked = [self._as_worker()]
        asked += [self._in_a_room(number) for number in self._store.homes(history_key)]
        replies: list[Reply] = []
        for group in asked:
            replies += await asyncio.gather(*group, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, StoreError):
                raise reply
        return next((reply for reply in replies if isinstance(reply, StoreError)), None)

    def _as_worker(self) -> list[asyncio.Future[Reply]]:
        """What heartbeats and joins need, without an effect: no member is updated, none is removed."""
        rooms = keys.worker_rooms(self._worker)
        return [
            self._store.call(keys.WORKERS, "ZADD", keys.WORKERS, "XX", "GT", 0, self._worker),
            self._store.call(rooms, "SREM", rooms, ""),
        ]

    def _in_a_room(self, number: int) -> list[asyncio.Future[Reply]]:
        """What messages need."""
        name, key = room(number), history_key(number)
        all_keys = (key, keys.meta(name), keys.idempotency(name, "", "", "ready"))
        return [self._store.run(READY, all_keys, self._publish_verb, keys.live(name), self._worker)]
