"""Joining: one session's way into a room.

Owns the seam between history and live. A join goes like this:

1. The store puts the session into the room (presence).
2. The room's channel is confirmed, so that nothing is missed from here on.
3. A snapshot of the history is read. What the channel brings meanwhile, the room keeps.
4. In one turn of the event loop the client gets the history, what the channel brought after it, and the
   acknowledgement; from then on it gets what comes. A client that cannot take all of it at once lags: it gets the rest,
   and then the acknowledgement, as it reads (`rooms/catching_up.py`).

Example: the snapshot holds 1 to 5, and the channel has brought 5 and 6. The client gets 1 to 6, each once.

Once a join is over, nothing of it refers to itself: a storm of joins would leave it all to the garbage collector, which
stops the worker.
"""

from __future__ import annotations

import asyncio
import time

from gateway.access.rights import MEMBERS
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.session import Session
from gateway.client_events import Join
from gateway.errors import StoreError
from gateway.metrics import join_seconds, joins
from gateway.protocol import Refusal
from gateway.rooms.catching_up import catch_up, catch_up_at_once
from gateway.rooms.changes import missed_changes
from gateway.rooms.hub import Hub
from gateway.rooms.member import Member
from gateway.rooms.position_check import is_ahead, since
from gateway.rooms.replays import JoinAnswer
from gateway.rooms.room import Room
from gateway.state.history import Snapshot
from gateway.state.presence import Change, Claim

_RECOVERED = {None: "none", True: "true", False: "false"}


class Joining:
    """A session on its way into a room."""

    __slots__ = (
        "_ack", "_change", "_has_read_again", "_is_answered", "_live", "_member", "_session", "_since", "has_made_room",
    )  # fmt: skip

    def __init__(self, session: Session, member: Member[Room], event: Join, ack: int | None) -> None:
        self._session = session
        self._member = member
        self._since = event.since  # the last position that the client has, if it says so
        self._ack = ack
        self._is_answered = ack is not None or event.is_from_connect
        self._change: Change | StoreError | None = None  # what presence answered; None until it has
        self._live: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self._has_read_again = False
        self.has_made_room = False  # there was no such room before

    async def run(self, hub: Hub, tracker: PresenceTracker, users_max: int = 0) -> Change:
        """Returns what presence did, once the member is live. Raises a StoreError, or Refusal where `users_max` users
        are there; 0 is no limit."""
        session, member = self._session, self._member
        room, begun_s = member.room, time.monotonic()
        who = Claim(session.claimant, is_named=session.identity.name is not None)
        tracker.enter(room.name, session.sid, member.username, self._on_entered, who, users_max)
        await hub.subscribed(room)
        room.with_snapshot(self._on_snapshot, self._since)
        try:
            change = await self._live
        except asyncio.CancelledError:
            if self._live.cancelled() or not self._live.done():
                raise
            change = self._live.result()  # the time was over in the very turn in which the member went live
        join_seconds.observe(time.monotonic() - begun_s)
        if session.is_over:
            tracker.drop(room.name, session.sid, member.username)
        return change

    def _on_entered(self, change: Change | StoreError) -> None:
        self._change = change

    def _on_snapshot(self, snapshot: Snapshot | StoreError) -> None:
        change, live = self._change, self._live
        if live.done():
            return
        self.has_made_room |= isinstance(snapshot, Snapshot) and snapshot.is_new
        if isinstance(snapshot, StoreError):
            live.set_exception(snapshot)
        elif isinstance(change, StoreError):
            live.set_exception(change)
        elif change is not None and change.is_full:
            live.set_exception(Refusal("room_full"))
        elif change is None or self._is_too_old(snapshot):
            self._has_read_again = True
            self._member.room.with_snapshot(self._on_snapshot, self._since)
        else:
            if not self._session.is_over:
                self._go_live(snapshot, change)
            live.set_result(change)

    def _is_too_old(self, snapshot: Snapshot) -> bool:
        """Whether the client has seen more than the snapshot holds. Joins that arrive together share one, which may
        have been asked for before this client came; if the next one does not hold it either, the store lost it."""
        return not self._has_read_again and is_ahead(self._since, snapshot)

    def _go_live(self, snapshot: Snapshot, change: Change) -> None:
        session, member = self._session, self._member
        room = member.room
        entries, recovered = since(self._since, snapshot)
        known = self._since if recovered else None
        joins.because(_RECOVERED[recovered])
        replay = room.reading.made.of(room.name_json, entries, snapshot)
        live = room.reading.packets_after(snapshot.position)
        if self._is_answered:
            count = change.count if member.rights & MEMBERS else 0
            member.answers = [*member.answers, JoinAnswer(self._ack, count, recovered)]
        member.entered_ms = member.entered_ms or change.at_ms  # when it came, not when it last joined
        session.rooms[room.name] = member
        changes = missed_changes(room.name_json, room.changes, snapshot, known, 0)
        if live or changes or not catch_up_at_once(room, member, known, replay):
            catch_up(room, member, known, (), [*replay.numbered, *live], changes)
