"""Sending: from a client's event to one stored message, and its answer.

Owns who may send into a room. A member may, under the name that it joined with. So may a user who is on the way back:

    Stock clients keep what is typed while the connection is away, and send it as soon as they are connected again,
    before the application joins its rooms. Such a `send` comes from a connection that has not joined anything yet.
    It is taken if it names a `username` that the room still counts as present: the one whose connection dropped is,
    until the grace period is over or, where its worker died, until that was cleaned up after.

Nobody can do more by that than by `join`: who says to be Ada could join as Ada first, and the room's rule decides as it
would then. Where tokens count and Ada has shown one, others can do neither. A connection that has asked to join a room
must be in the room, as before.
"""

from __future__ import annotations

import orjson
import structlog

from gateway import keys
from gateway.access.rights import JOIN, JUDGED, MODERATE, SEND, SLOWED, Rights
from gateway.chat.answers import Answers
from gateway.chat.judging import Judging
from gateway.chat.memberships import Memberships
from gateway.chat.not_allowed import not_allowed
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.session import Session
from gateway.client_events import Send
from gateway.errors import KeyReused, Moderated, StoreError, StoreUnavailable, TooSoon
from gateway.protocol import Refusal, acknowledgement_packet, entry_head
from gateway.rooms.hub import Hub
from gateway.rooms.member import Member
from gateway.rooms.outcomes import StoredBefore
from gateway.rooms.publish_commands import Once
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room

log = structlog.get_logger("gateway.chat")

KEY_REUSED = "You have sent another message with this 'idempotency_key'."


class Sending:
    """Stores what members say."""

    def __init__(
        self,
        hub: Hub,
        publisher: Publisher,
        tracker: PresenceTracker,
        memberships: Memberships,
        judging: Judging,
    ) -> None:
        self._hub = hub  # the rooms of this worker
        self._publisher = publisher  # stores messages and tells the rooms
        self._tracker = tracker  # who is present, for those on the way back
        self._memberships = memberships  # what those may do
        self._judging = judging  # who sees messages before they are stored
        self._answers = Answers()  # what the store has done, on its way to the clients

    def as_member(self, session: Session, member: Member[Room], event: Send, ack: int | None) -> None:
        """A member of the room sends; the answer follows when the store has it."""
        username = member.username
        if not member.rights & SEND or event.username not in (None, username):
            _check(member, event)
        once = None if event.idempotency_key is None else _once(session, username, event)
        self._publish(session, member.room, username, event, ack, member.rights, event.message, once)

    async def judged(self, session: Session, event: Send, ack: int | None) -> None:
        """The same where the application sees it first. Raises Refusal or a StoreError."""
        member = session.rooms.get(event.room)
        if member is None:  # it was taken out in this very moment
            raise Refusal("not_joined")
        _check(member, event)
        await self._publish_judged(session, member.username, event, ack, member.rights, member)

    async def on_the_way_back(self, session: Session, event: Send, ack: int | None) -> None:
        """A client that has not joined anything yet sends. Raises Refusal or a StoreError."""
        rights = await self._memberships.rights(session.identity, event.room)
        if rights & (JOIN | SEND) != JOIN | SEND:
            raise Refusal("forbidden", operation="send")
        username = event.username or session.voice.fixed_name
        if username is None or not await self._tracker.is_present(event.room, username):
            raise Refusal("not_joined")
        claimant = session.claimant
        if claimant is not None and await self._tracker.holders(event.room, username) - {claimant}:
            raise Refusal("name_taken")
        if rights & JUDGED:
            await self._publish_judged(session, username, event, ack, rights, None)
            return
        room, once = self._hub.room(event.room), _once(session, username, event)
        self._publish(session, room, username, event, ack, rights, event.message, once)
        self._hub.release(room)  # nobody may be in it here, or ever come

    async def _publish_judged(
        self,
        session: Session,
        username: str,
        event: Send,
        ack: int | None,
        rights: Rights,
        member: Member[Room] | None,
    ) -> None:
        """Asks first. Whoever was taken out of the room meanwhile, or ended for good, has not said it; whose connection
        dropped has."""
        once = _once(session, username, event)
        try:
            judged = await self._judging.judge(session.identity, username, event, once)
        except KeyReused as reused:
            _refuse(session, event, ack, reused)
            return
        if judged.position is not None:
            session.acknowledge(ack, {"ok": True, "id": judged.position})
            return
        if session.has_ended or (member is not None and session.rooms.get(event.room) is not member):
            raise Refusal("not_joined")
        room = self._hub.room(event.room)
        self._publish(session, room, username, event, ack, rights, judged.text, once)
        self._hub.release(room)

    def _publish(
        self,
        session: Session,
        room: Room,
        username: str,
        event: Send,
        ack: int | None,
        rights: Rights,
        text: str,
        once: Once | None,
    ) -> None:
        head = entry_head(text, username)
        slow_key = keys.slow(room.name, session.identity.user, username) if rights & SLOWED else None

        def on_result(result: str | StoreError) -> None:
            session.unanswered -= 1
            if not isinstance(result, str):
                self._answers.leave()  # what was answered before
                _refuse(session, event, ack, result)
                return
            session.counts.sent += not isinstance(result, StoredBefore)
            if ack is not None:
                answer = b'{"ok":true,"id":"%b"}' % result.encode()
                self._answers.add(session, acknowledgement_packet(ack, answer))

        session.unanswered += 1
        user, meta = session.identity.user, event.meta
        more = _more(user, meta) if user or meta else b""
        self._publisher.publish(room, head, once, on_result, slow_key, more, bool(rights & MODERATE))


def _check(member: Member[Room], event: Send) -> None:
    """Raises Refusal for what a member may not send."""
    if event.username is not None and event.username != member.username:
        raise Refusal("forbidden", f"You joined this room as {member.username!r}.")
    if not member.rights & SEND:
        raise Refusal("forbidden", operation="send")


def _once(session: Session, username: str, event: Send) -> Once | None:
    """What tells the message from one that is sent again: what the client said, whatever is stored of it. What is said
    beside the text belongs to that, in whichever order its fields come."""
    key, content = event.idempotency_key, event.message
    if key is None:
        return None
    if event.meta:
        ordered = orjson.dumps(orjson.loads(event.meta), option=orjson.OPT_SORT_KEYS)
        content = f"{ordered.decode()}\0{content}"
    return Once(session.identity.user, username, key, content)


def _more(user: str, meta: bytes) -> bytes:
    """What goes with the message, as members get it behind its `id`: the user as the sender's token says it."""
    members = [b'"user":' + orjson.dumps(user)] if user else []
    if meta:
        members.append(b'"meta":' + meta)
    return b",".join(members)


def _refuse(session: Session, event: Send, ack: int | None, error: StoreError) -> None:
    about = {"event": "send", "room": event.room, "idempotency_key": event.idempotency_key}
    if isinstance(error, TooSoon):
        sentence = "In this room there is a least time between two messages."
        session.refuse(Refusal("rate_limited", sentence, retry_after_ms=error.wait_ms), ack, **about)
        return
    if isinstance(error, Moderated):
        session.refuse(not_allowed(error, "send"), ack, **about)
        return
    if isinstance(error, KeyReused):
        session.refuse(Refusal("bad_request", KEY_REUSED, reason="key_reused"), ack, **about)
        return
    code = "unavailable" if isinstance(error, StoreUnavailable) else "internal"
    if code == "internal":
        log.error("publish_failed", session=session.sid, room=event.room, reason=str(error))
    session.refuse(Refusal(code), ack, **about)
