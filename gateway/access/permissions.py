"""The decision about one client and one room, by the rules and, where a rule asks it, by the application's hook.

Owns what the chat asks before it lets anybody in. Promises that whatever cannot be decided is refused, never allowed.
"""

from __future__ import annotations

from typing import Protocol

from gateway.access.identity import Identity
from gateway.access.rights import JOIN, Rights
from gateway.access.room_rules import COUNT, HOOK, RoomRules, rights_by


class HookAway(Exception):
    """The hook that decides does not answer; trying again can help."""


class Hook(Protocol):
    """The application, which decides about rooms whose rule says `hook`."""

    async def allowed(self, identity: Identity, room: str) -> Rights:
        """What it allows. Raises HookAway."""

    async def close(self) -> None:
        """Gives up what is being asked."""


class NoHook:
    """There is no hook: it allows nothing."""

    async def allowed(self, identity: Identity, room: str) -> Rights:
        """Nothing."""
        return 0

    async def close(self) -> None:
        """There is nothing to give up."""


class Permissions:
    """What clients may do in rooms."""

    def __init__(self, rules: RoomRules, hook: Hook | None = None) -> None:
        self.rules = rules
        self._hook = hook or NoHook()

    async def decide(self, identity: Identity, room: str) -> Rights:
        """What who has this identity may do in a room. Raises HookAway."""
        rule = self.rules.rule(room)
        if rule is None:
            return 0
        if not rule.asks_hook:
            return rights_by(rule, identity, room)
        if rule.join != HOOK and not rights_by(rule, identity, room) & JOIN:
            return 0  # whatever the hook would say
        return rights_by(rule, identity, room, await self._hook.allowed(identity, room))

    async def close(self) -> None:
        """Gives up what is being asked of the hook."""
        await self._hook.close()

    def users_max(self, room: str) -> int:
        """How many users a room may have at one time; 0 is no limit."""
        rule = self.rules.rule(room)
        return rule.members_max if rule is not None else 0

    def shows_names(self, room: str) -> bool:
        """Whether members are told the names of those who are there, and not only how many they are."""
        rule = self.rules.rule(room)
        return rule is None or rule.members != COUNT
