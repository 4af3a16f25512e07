"""Moderation by clients: who may do it, and what they are answered.

It takes the grant `moderate` in the room, by a token or by the hook that lets people in, but no membership: who opens a
closed room again cannot be in it. A message's own sender may edit it for as long as the room's rule says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.access.rights import MODERATE, SEND, Rights
from gateway.access.room_rules import RoomRules
from gateway.chat.handlers import Chat
from gateway.chat.moderation import Moderation, Outcome
from gateway.chat.session import Session
from gateway.moderation_events import Close, Edit, Kick, Mute, Redact, Reopen, Slow, Unmute
from gateway.protocol import Refusal

Do = Callable[[str, Any], Awaitable[Outcome]]
"""Does what an event asks for, in the name of somebody."""


class Moderating:
    """The events of moderators."""

    def __init__(self, moderation: Moderation, chat: Chat, rules: RoomRules) -> None:
        self._moderation = moderation
        self._chat = chat
        self._rules = rules

    def serve(self) -> None:
        """The chat handles these events from now on."""
        chat, do = self._chat, self._moderation
        chat.handle(Redact, "redact", self._redact)
        chat.handle(Edit, "edit", self._edit)
        operations: dict[type, Do] = {
            Kick: lambda by, one: do.kick(by, one.room, one.target, one.for_s, one.reason),
            Mute: lambda by, one: do.mute(by, one.room, one.target, one.for_s),
            Unmute: lambda by, one: do.unmute(by, one.room, one.target),
            Slow: lambda by, one: do.slow(by, one.room, one.seconds, one.for_s),
            Close: lambda by, one: do.close(by, one.room, one.for_s, one.reason),
            Reopen: lambda by, one: do.reopen(by, one.room),
        }
        for kind, operation in operations.items():
            chat.handle(kind, kind.__name__.lower(), self._decides(operation))

    def _decides(self, operation: Do) -> Callable[[Session, Any, int | None], Any]:
        async def decide(session: Session, event: Any, ack: int | None) -> None:
            by = await self._moderator(session, event.room)
            outcome = await operation(by, event)
            until = {"until": outcome.until_ms} if outcome.until_ms else {}
            session.acknowledge(ack, {"ok": True, "sessions": outcome.sessions, **until})

        return decide

    async def _redact(self, session: Session, event: Redact, ack: int | None) -> None:
        by = await self._moderator(session, event.room)
        at_ms = await self._moderation.redact(by, event.room, event.id)
        session.acknowledge(ack, {"ok": True, "at": at_ms})

    async def _edit(self, session: Session, event: Edit, ack: int | None) -> None:
        rights = await self._rights(session, event.room)
        if rights & MODERATE:
            at_ms = await self._moderation.edit(
                _name(session, event.room), event.room, event.id, event.message
            )
        else:
            at_ms = await self._edit_own(session, event, rights)
        session.acknowledge(ack, {"ok": True, "at": at_ms})

    async def _edit_own(self, session: Session, event: Edit, rights: Rights) -> int:
        """Where the application is asked before each message, it would have to be asked about the new text, too: nobody
        edits there but moderators."""
        rule, user = self._rules.rule(event.room), session.identity.user
        if rule is None or not rule.edit_s or rule.moderation or not user or not rights & SEND:
            raise Refusal("forbidden", operation="edit")
        if event.room not in session.rooms:
            raise Refusal("not_joined")
        return await self._moderation.edit_own(user, event.room, event.id, event.message, rule.edit_s)

    async def _moderator(self, session: Session, room: str) -> str:
        """In whose name it is done. Raises Refusal where the client may not."""
        if not await self._rights(session, room) & MODERATE:
            raise Refusal("forbidden", operation="moderate")
        return _name(session, room)

    async def _rights(self, session: Session, room: str) -> Rights:
        member = session.rooms.get(room)
        return (
            member.rights
            if member is not None
            else await self._chat.memberships.rights(session.identity, room)
        )


def _name(session: Session, room: str) -> str:
    """A user's id; of a guest whom the hook lets moderate, its name."""
    member = session.rooms.get(room)
    return session.identity.user or (member.username if member is not None else "guest")
