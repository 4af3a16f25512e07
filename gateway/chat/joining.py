"""One join, from the question to the store to the answer to the client.

Owns the seam between history and live: what the snapshot holds, what the channel brought after it, the
acknowledgement, and live, in one turn of the event loop. Refers to nothing that refers to it once it is over: a
storm of joins would leave it all to the garbage collector.
"""

from __future__ import annotations

import asyncio

from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.session import Session
from gateway.errors import StoreError
from gateway.protocol import Join, acknowledgement_packet
from gateway.rooms.hub import Hub
from gateway.rooms.member import Member
from gateway.rooms.position_check import is_ahead, since
from gateway.rooms.replays import history_packets
from gateway.rooms.room import Room
from gateway.state.history import Snapshot
from gateway.state.presence import Change


class Joining:
    """A session on its way into a room."""

    __slots__ = ("_ack", "_change", "_done", "_is_asked_again", "_member", "_session", "_since")

    def __init__(self, session: Session, member: Member[Room], event: Join, ack: int | None) -> None:
        self._session, self._member, self._ack = session, member, ack
        self._since = event.since
        self._change: Change | StoreError | None = None
        self._done: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self._is_asked_again = False

    async def enter(self, hub: Hub, tracker: PresenceTracker) -> Change:
        """Presence, then history and live; returns what presence did. Raises a StoreError."""
        session, member = self._session, self._member
        room = member.room
        tracker.come(room.name, session.sid, member.username, self._came)
        await hub.subscribed(room)
        room.with_snapshot(self._with_snapshot)
        try:
            change = await self._done
        except asyncio.CancelledError:
            if self._done.cancelled() or not self._done.done():
                raise
            change = self._done.result()  # the time was over in the very turn in which the member went live
        if session.is_over:
            tracker.drop(room.name, session.sid, member.username)
        return change

    def _came(self, change: Change | StoreError) -> None:
        self._change = change

    def _with_snapshot(self, snapshot: Snapshot | StoreError) -> None:
        change, done = self._change, self._done
        if done.done():
            return
        if isinstance(snapshot, StoreError):
            done.set_exception(snapshot)
        elif isinstance(change, StoreError):
            done.set_exception(change)
        elif change is None or (not self._is_asked_again and is_ahead(self._since, snapshot)):
            self._is_asked_again = True  # the snapshot was shared, and asked for before this member came
            self._member.room.with_snapshot(self._with_snapshot)
        else:
            if not self._session.is_over:
                self._go_live(snapshot, change)
            done.set_result(change)

    def _go_live(self, snapshot: Snapshot, change: Change) -> None:
        session, member = self._session, self._member
        room = member.room
        entries, recovered = since(self._since, snapshot)
        packets = history_packets(room.name_json, entries, snapshot.epoch) + room.packets_after(snapshot.seq)
        if self._ack is not None:
            recovery = (
                b"" if recovered is None else b',"recovered":true' if recovered else b',"recovered":false'
            )
            answer = b'{"ok":true,"room":%b,"id":"%b","count":%d%b}' % (
                room.name_json, str(room.position).encode(), change.count, recovery,
            )  # fmt: skip
            packets.append(acknowledgement_packet(self._ack, answer))
        session.rooms[room.name] = member
        room.add(member)
        if packets:
            session.socket.send_texts(packets)
        if session.socket.is_behind:  # since before: it is not told again
            room.pause(member)
