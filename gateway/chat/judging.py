"""Messages of rooms whose rule has a `moderation`: the application sees them before they are stored.

Owns what becomes of a message that waits for that. Nobody else waits: the hook is asked while other clients go on. The
same client's next event comes after it, as after every event that needs time, so that its messages keep their order.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.access.identity import Identity
from gateway.access.permissions import HookAway
from gateway.access.room_rules import RoomRules
from gateway.access.send_hook import Said, SendHook, Verdict
from gateway.client_events import Send
from gateway.protocol import Refusal
from gateway.rooms.publish_commands import Once
from gateway.state.sent import Sent

AWAY = "Whether this may be said cannot be asked now; try again."
MODERATED = "This may not be said here."


class Judged(NamedTuple):
    """What is to be stored; or, where the message is stored already, its position."""

    text: str
    position: str | None = None


class Judging:
    """Asks the application about messages."""

    def __init__(self, hook: SendHook | None, rules: RoomRules, sent: Sent | None, is_lenient: bool) -> None:
        self._hook = hook
        self._rules = rules  # what a room's messages are judged by
        # What was stored under a key before; None where an answer says more than that, as replicas count
        self._sent = sent
        self._is_lenient = is_lenient  # whether a message passes while the application is away

    async def judge(self, identity: Identity, username: str, event: Send, once: Once | None) -> Judged:
        """What is to be stored of a message. Raises Refusal or a StoreError."""
        if once is not None and self._sent is not None:
            known = await self._sent.position(event.room, once.user, once.username, once.key, once.content)
            if known is not None:
                return Judged(event.message, known)
        verdict = await self._ask(identity, username, event)
        if not verdict.is_allowed:
            raise Refusal("forbidden", verdict.text or MODERATED, reason="moderated")
        return Judged(verdict.text)

    async def _ask(self, identity: Identity, username: str, event: Send) -> Verdict:
        rule, key = self._rules.rule(event.room), event.idempotency_key or ""
        moderation = "" if rule is None else rule.moderation
        said = Said(moderation, event.room, event.message, username, identity.user, event.meta, key)
        try:
            if self._hook is None:
                raise HookAway
            return await self._hook.judge(said)
        except HookAway as away:
            if self._is_lenient:
                return Verdict(True, event.message)
            raise Refusal("unavailable", AWAY) from away

    async def close(self) -> None:
        """Closes the way to the application."""
        if self._hook is not None:
            await self._hook.close()
