"""What moderators have decided about a room, as Redis holds it.

Owns two hashes in the room's slot (`scripts/moderated.lua` says what is in them), and one sorted set of the rooms about
which something was decided lately. State first: the scripts that let people in and let them speak look at the hashes.
Then the word, by which workers hear of it at once; and a worker that misses the word finds the room in the sorted set
with its next look. So a lost message costs seconds, and never lets anybody speak.

Everything ends. What is decided without an end stands for `FOREVER_S`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway import keys
from gateway.interfaces import CommandStore
from gateway.redis.connection import pack
from gateway.state.batches import all_replies
from gateway.state.people import people_in
from gateway.state.scripts import MODERATE

FOREVER_S = 3650 * 86_400.0
"""For so long it stands what was decided without an end: ten years."""

ENTRIES_MAX = 10_000
"""Mutes of a room, and as many kicks: what a worker reads in a few milliseconds, in pieces."""

KEPT_S = 600.0
"""For so long it is kept, for workers that have not heard of it, that somebody was kicked or a room was closed, though
who was kicked may come back at once, and the room may be open again."""

NOTED_S = 3600.0
"""For so long it is noted that something was decided about a room."""

PIECE = 500
"""Entries that are read at once."""

ROOMS_AT_ONCE = 1000
"""Rooms that are read from the sorted set at once."""

CLOSED, SLOW, KICK = "closed", "slow", "kick:"
GUEST = "\x1f"
"""With which a guest's name begins in these hashes: no username holds a control character."""


def subject_of(user: str, username: str) -> str:
    """Who somebody is in these hashes: a user's id; the name of a guest, who has none."""
    return user or GUEST + username


class Expulsion(NamedTuple):
    """Whoever was in at `at_ms` must go. Who comes in later was let in: the store is asked then."""

    at_ms: int
    reason: str = ""


class Expelled(NamedTuple):
    """Why somebody must go: `closed` or `kicked`, and what the moderator said of it."""

    code: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RoomModeration:
    """What holds in a room, or did lately: that it was closed, who is muted until when (ms), and who was kicked."""

    closed: Expulsion | None = None
    mutes: Mapping[str, int] = field(default_factory=dict)
    kicks: Mapping[str, Expulsion] = field(default_factory=dict)

    def expels(self, subject: str, entered_ms: int) -> Expelled | None:
        """Why somebody who came in at that time (by the store's clock) must go; None if it need not."""
        kick = self.kicks.get(subject)
        if kick is not None and entered_ms <= kick.at_ms:
            return Expelled("kicked", kick.reason)
        if self.closed is not None and entered_ms <= self.closed.at_ms:
            return Expelled("closed", self.closed.reason)
        return None


class Decided(NamedTuple):
    """What became of a change: whether there was room for it, when it was, and when it ends (ms; 0 if it was taken
    back)."""

    is_done: bool
    at_ms: int
    until_ms: int


class ModerationStore:
    """Reads and changes it; every call raises a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore) -> None:
        self._store = store

    async def mute(self, room: str, subject: str, for_s: float | None) -> Decided:
        """Mutes somebody for so long; None takes it back."""
        return await self._decide(room, "mutes", subject, for_s)

    async def kick(self, room: str, subject: str, back_s: float, reason: str = "") -> Decided:
        """Whoever of that name is in now must go, and may come back after so long."""
        return await self._decide(room, "", KICK + subject, back_s, reason, KEPT_S)

    async def close(self, room: str, for_s: float | None, reason: str = "") -> Decided:
        """Whoever is in now must go, and nobody may come in for so long; None opens the room again."""
        return await self._decide(room, "", CLOSED, for_s, reason, KEPT_S)

    async def slow(self, room: str, slow_s: float, for_s: float | None) -> Decided:
        """Sets the least time between two messages of one user, in place of the rule's; None as `for_s` takes it
        back."""
        return await self._decide(room, "", SLOW, for_s, f"{slow_s * 1000:.0f}")

    async def _decide(
        self, room: str, which: str, field: str, for_s: float | None, rest: str = "", kept_s: float = 0.0
    ) -> Decided:
        names = (keys.meta(room), keys.moderated(room), keys.mutes(room))
        for_ms = "" if for_s is None else f"{for_s * 1000:.0f}"
        is_done, at_ms, until_ms = await self._store.run(
            MODERATE, names, which, field, for_ms, rest, f"{kept_s * 1000:.0f}", ENTRIES_MAX
        )
        return Decided(bool(is_done), at_ms, until_ms)

    async def note(self, room: str, at_ms: int) -> None:
        """Notes that something was decided about the room then, for workers that do not hear the word."""
        key = keys.MODERATED
        commands = [
            pack(b"ZADD", key, b"GT", at_ms, room.encode()),
            pack(b"ZREMRANGEBYSCORE", key, b"-inf", at_ms - int(NOTED_S * 1000)),
            pack(b"EXPIRE", key, int(NOTED_S)),
        ]
        for reply in await all_replies(self._store, [(key, command) for command in commands]):
            if isinstance(reply, Exception):
                raise reply

    async def noted(self, since_ms: int) -> AsyncIterator[tuple[str, int]]:
        """The rooms about which something was decided at that time or later, with when it was last."""
        at, found = 0, [b""] * 2 * ROOMS_AT_ONCE
        while len(found) == 2 * ROOMS_AT_ONCE:
            found = await self._store.call(
                keys.MODERATED, "ZRANGE", keys.MODERATED, since_ms, "+inf", "BYSCORE", "LIMIT", at, ROOMS_AT_ONCE,
                "WITHSCORES",
            )  # fmt: skip
            for name, score in zip(found[::2], found[1::2], strict=True):
                yield name.decode(errors="replace"), int(float(score))
            at += ROOMS_AT_ONCE

    async def read(self, room: str) -> RoomModeration:
        """What holds in a room."""
        closed, mutes, kicks = None, {}, {}
        async for name, value in self._fields(keys.moderated(room)):
            if name == CLOSED and (found := _numbers(value, 3)) is not None:
                closed = Expulsion(found[0][1], found[1])
            elif name.startswith(KICK) and (found := _numbers(value, 3)) is not None:
                kicks[name.removeprefix(KICK)] = Expulsion(found[0][1], found[1])
        async for name, value in self._fields(keys.mutes(room)):
            if (found := _numbers(value, 1)) is not None:
                mutes[name] = found[0][0]
        return RoomModeration(closed, mutes, kicks)

    async def _fields(self, key: bytes) -> AsyncIterator[tuple[str, bytes]]:
        cursor = b"0"
        while True:
            cursor, flat = await self._store.call(key, "HSCAN", key, cursor, "COUNT", PIECE)
            for name, value in zip(flat[::2], flat[1::2], strict=True):
                yield name.decode(errors="replace"), value
            if cursor == b"0":
                return

    async def sessions(self, room: str, user: str, username: str) -> int:
        """How many sessions a user, or a guest of that name, has in the room now."""
        if not user:
            key = keys.users(room)
            return int(await self._store.call(key, "HGET", key, username) or 0)
        most = 0
        async for _, value in self._fields(keys.verified(room)):
            count, _, holder = value.partition(b" ")
            if holder.decode(errors="replace") == user and count.isdigit():
                most = max(most, int(count))
        return most

    async def everybody(self, room: str) -> int:
        """How many sessions there are in the room now."""
        named = [int(count) async for _, count in self._fields(keys.users(room)) if count.isdigit()]
        (people,) = await people_in(self._store, [room])
        return max(people, sum(named))


def _numbers(value: bytes, count: int) -> tuple[list[int], str] | None:
    """The numbers with which a value begins, and the text behind them; None if somebody else's hand wrote it."""
    words = value.split(b" ", count)
    numbers = words[:count]
    if len(numbers) < count or not all(word.isdigit() and len(word) < 18 for word in numbers):
        return None
    return [int(word) for word in numbers], b" ".join(words[count:]).decode(errors="replace")
