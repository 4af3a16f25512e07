"""Which rooms a session is in: the ways in and out, for itself, for the other members, and for the store.

Owns that a join or a leave that failed half-way is put right: the store is told again after the grace period.
"""

from __future__ import annotations

import asyncio
import math
import time

import structlog

from gateway.access.identity import Identity
from gateway.access.new_rooms import NewRooms
from gateway.access.permissions import HookAway, Permissions
from gateway.access.rights import JOIN, MODERATE, Rights
from gateway.chat.joining import Joining
from gateway.chat.moderated_rooms import ModeratedRooms
from gateway.chat.not_allowed import not_allowed
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.session import Session
from gateway.client_events import Join
from gateway.errors import Moderated, NameTaken, StoreError
from gateway.metrics import removed
from gateway.protocol import Refusal
from gateway.rooms.hub import Hub
from gateway.rooms.member import Member
from gateway.rooms.room import Room
from gateway.state.history import Histories
from gateway.state.moderation import Expelled
from gateway.state.presence import Change

log = structlog.get_logger("gateway.chat")

TOO_MANY_NEW_ROOMS = "You have made too many rooms; wait, or join one that is there."


class Memberships:
    """Joins and leaves of this worker's sessions."""

    def __init__(
        self,
        hub: Hub,
        tracker: PresenceTracker,
        histories: Histories,
        new_rooms: NewRooms,
        rooms_max: int,
        permissions: Permissions,
        moderated: ModeratedRooms,
    ) -> None:
        self._hub = hub  # the rooms of this worker
        self._tracker = tracker  # presence of this worker's sessions
        self._histories = histories  # whether a room has been there
        self._new_rooms = new_rooms  # who has made how many
        self._rooms_max = rooms_max  # rooms of one connection
        self._permissions = permissions  # who may do what where
        self.moderated = moderated  # what moderators have decided

    async def join(self, session: Session, event: Join, ack: int | None) -> None:
        """A client joins a room, or joins it again. Raises Refusal or a StoreError."""
        known = session.rooms.get(event.room)
        rights = await self.rights(session.identity, event.room)
        if known is not None and (known.username != event.username or not rights & JOIN):
            await self.leave(session, known)
            known = None
        if not rights & JOIN:
            raise Refusal("forbidden", operation="join")
        if known is not None:
            known.rights = rights
            await self._join_again(session, known, event, ack)
        elif len(session.rooms) >= self._rooms_max:
            raise Refusal("room_limit", f"A connection may be in {self._rooms_max} rooms.")
        else:
            await self._check_new_rooms(session, event.room)
            await self._join_anew(session, event, ack, rights)

    async def rights(self, identity: Identity, room: str) -> Rights:
        """What a client may do in a room: the same whether the room exists or not. Raises Refusal."""
        try:
            return await self._permissions.decide(identity, room)
        except HookAway as away:
            raise Refusal("unavailable", "Who may join this room cannot be asked now; try again.") from away

    async def _check_new_rooms(self, session: Session, room: str) -> None:
        """Who has made too many rooms lately may join those that are there. Raises Refusal or a StoreError."""
        wait_s = self._new_rooms.wait_s(_owner(session), time.monotonic())
        if wait_s and not await self._histories.exists(room):
            raise Refusal("rate_limited", TOO_MANY_NEW_ROOMS, retry_after_ms=math.ceil(wait_s * 1000))

    async def _join_anew(self, session: Session, event: Join, ack: int | None, rights: Rights) -> None:
        """Joins a room that the session is not in, and announces it. A join that failed may have reached the store:
        the session is taken out after the grace period, unless the client tries again."""
        name, sid, username = event.room, session.sid, event.username
        member = Member(self._hub.room(name), sid, session.socket, username, rights)
        try:
            change = await self._enter(session, member, event, ack)
        except Refusal:  # the room is full: the store did nothing
            raise
        except BaseException:
            self._tracker.drop(name, sid, username)
            raise
        session.counts.joined += 1
        if not session.is_over:
            log.info("member_joined", session=sid, room=name, user=username, count=change.count)
            self._tracker.announce_joined(name, sid, username, change)
            await self._expel(session, member)

    async def _join_again(self, session: Session, member: Member[Room], event: Join, ack: int | None) -> None:
        """Joins a room that the session is in: it gets history again. If that fails, it goes on from where it was."""
        member.room.begin_rejoin(member)
        try:
            await self._enter(session, member, event, ack)
        except BaseException:
            if not session.is_over:
                member.room.abandon_rejoin(member)
                self.moderated.want(member.room.name)  # nobody has looked at it meanwhile
            raise
        await self._expel(session, member)

    async def _enter(self, session: Session, member: Member[Room], event: Join, ack: int | None) -> Change:
        room = member.room
        users_max = 0 if member.rights & MODERATE else self._permissions.users_max(room.name)
        room.joining += 1
        try:
            joining = Joining(session, member, event, ack)
            change = await joining.run(self._hub, self._tracker, users_max)
            if joining.has_made_room:
                self._new_rooms.note(_owner(session), time.monotonic())
            if change.is_moderated and room.name not in self.moderated:
                self.moderated.want(room.name)
            return change
        except NameTaken as taken:
            raise Refusal("name_taken") from taken
        except Moderated as refused:
            raise not_allowed(refused, "join") from refused
        finally:
            room.joining -= 1
            self._hub.release(room)

    async def _expel(self, session: Session, member: Member[Room]) -> None:
        """A join has ended that was on its way while moderators decided: they may want this member to go."""
        why = self.moderated.expels(session.identity, member)
        if why is not None and session.rooms.get(member.room.name) is member:
            self.take_out(session, member, why)
            await self.tell_left(session.sid, member)

    def take_out(self, session: Session, member: Member[Room], why: Expelled) -> None:
        """The client is out of a room, and is told why: nothing of the room follows. The store is told by
        `tell_left`."""
        self._go(session, member)
        removed.because(why.code)
        reason = {"reason": why.reason} if why.reason else {}
        session.emit("removed", {"room": member.room.name, "code": why.code, **reason})

    async def tell_left(self, sid: str, member: Member[Room]) -> None:
        """Tells the store that a member was taken out; a store that is away is told after the grace period."""
        room = member.room.name
        try:
            await self._tracker.leave(room, sid, member.username)
        except StoreError as error:
            self._tracker.drop(room, sid, member.username)
            log.warning("leave_not_stored", session=sid, room=room, reason=str(error))

    async def reconsider(self, session: Session) -> None:
        """The client has another token: of each room that it does not grant any more it is told `removed`, and nothing
        of the room follows. A store that is away is told again after the grace period."""
        held = {name: member.rights for name, member in session.rooms.items()}
        found = self._permissions.rules.reconsider(session.identity, held)
        for name, rights in found.kept.items():
            session.rooms[name].rights = rights
        lost = [session.rooms[name] for name in found.lost]
        # All of them before the store is told of one: it may take longer than the client waits.
        for member in lost:
            session.emit("removed", {"room": member.room.name, "code": "forbidden"})
            self._go(session, member)
        for told in await asyncio.gather(*(self._tell(session, one) for one in lost), return_exceptions=True):
            if isinstance(told, StoreError):
                log.warning("leave_not_stored", session=session.sid, reason=str(told))
            elif isinstance(told, BaseException):
                raise told

    async def leave(self, session: Session, member: Member[Room]) -> None:
        """Leaves at once for this client. A store that did not take it is told again after the grace period."""
        self._go(session, member)
        await self._tell(session, member)

    def _go(self, session: Session, member: Member[Room]) -> None:
        """The client is out of the room, as far as this worker is concerned."""
        room = member.room.name
        del session.rooms[room]
        member.room.remove(member)
        session.counts.left(member)
        self._hub.release(member.room)
        log.info("member_left", session=session.sid, room=room, user=member.username)

    async def _tell(self, session: Session, member: Member[Room]) -> None:
        """Tells the store, and the other members through it."""
        room = member.room.name
        try:
            await self._tracker.leave(room, session.sid, member.username)
        except BaseException:
            self._tracker.drop(room, session.sid, member.username)
            raise


def _owner(session: Session) -> str:
    """Who makes a room: a user, whatever its connections, or one connection of a guest."""
    return f"user {session.identity.user}" if session.identity.user else session.sid
