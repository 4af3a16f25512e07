"""Pages of a room's history, as members ask for them.

Owns how much one answer holds. Promises that a message which is changed meanwhile does not come as it was before.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.chat.session import Session
from gateway.client_events import History
from gateway.protocol import Position, Refusal, receive_json
from gateway.rooms.room import Room
from gateway.state.history import Histories, Snapshot

PAGE_BYTES = 262_144
"""Largest answer to `history`, unless one message is larger: much less than a socket may hold unsent."""


class Pages:
    """Answers `history`."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories  # what was stored

    async def history(self, session: Session, event: History, ack: int | None) -> None:
        """A member asks for a page. Raises Refusal or a StoreError."""
        member = session.rooms.get(event.room)
        if member is None:
            raise Refusal("not_joined")
        room = member.room
        snapshot = await self._unchanged(room)
        numbered = snapshot.after(0)
        if event.before is not None:
            if event.before.epoch != snapshot.epoch:
                numbered = []
            numbered = [(seq, stored) for seq, stored in numbered if seq < event.before.seq]
        page = _newest_that_fit(
            receive_json(stored, room.name_json, Position(snapshot.epoch, seq), snapshot.more.get(seq, b""))
            for seq, stored in reversed(numbered[-event.limit :])
        )
        session.acknowledge_json(ack, b'{"ok":true,"messages":[%b]}' % b",".join(page))

    async def _unchanged(self, room: Room) -> Snapshot:
        """A snapshot during whose reading no message was changed."""
        while True:
            heard = room.changes.heard
            snapshot = await self._histories.snapshot(room.name, room.observed)
            if heard == room.changes.heard:
                return snapshot


def _newest_that_fit(newest_first: Iterable[bytes]) -> list[bytes]:
    """Oldest first: as many as fit into one answer, but at least one; the client asks for those `before` the first."""
    page: list[bytes] = []
    size_bytes = 0
    for message in newest_first:
        size_bytes += len(message)
        if page and size_bytes > PAGE_BYTES:
            break
        page.append(message)
    return page[::-1]
