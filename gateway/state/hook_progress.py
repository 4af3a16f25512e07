"""How far a webhook was told of a room, and what comes next.

Owns `{chat_history_<room>}:hooked:<hook>`, which lies in the room's slot: a failover loses it together with the
messages that it is about, or not at all. Each write bears the fence of the lease under which it was made
(`hook_queue.py`): a writer whose lease is another's by now changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway import keys
from gateway.errors import StoreRefused
from gateway.interfaces import CommandStore
from gateway.protocol import Position, readable_entry
from gateway.state.history import NO_POSITION
from gateway.state.more import NO_MORE, Change, More, changes_of, more_of
from gateway.state.scripts import HOOK_ADVANCE, HOOK_MEMBER, HOOK_OCCUPIED, HOOK_READ, HOOK_TOLD


class Fenced(StoreRefused):
    """Another worker has written under a higher fence: this one's lease is over, or was numbered too low."""

    def __init__(self, fence: int) -> None:
        super().__init__("another worker holds the lease")
        self.fence = fence


class Unread(NamedTuple):
    """What a webhook was not told of a room.

    newest      position of the room's newest message; no epoch where the room has none
    oldest_seq  seq of the oldest one that is kept
    told        position up to which the webhook was told; None if it never was
    missed      after which position it misses messages since an earlier time; None if it does not
    first_seq   seq of the first of `entries`
    entries     messages, as stored but each readable
    newest_ms   time of the newest message
    more        by seq, what is known of messages beside their three fields
    changes     by seq, how messages that are kept were changed
    texts       by seq, those of them that the webhook was told before, as they are stored now
    known       by seq, when those were changed of which the webhook was told (ms)
    """

    newest: Position
    oldest_seq: int
    told: Position | None
    missed: Position | None
    first_seq: int
    entries: list[bytes]
    newest_ms: int
    more: More = NO_MORE
    changes: Mapping[int, Change] = MappingProxyType({})
    texts: Mapping[int, bytes] = MappingProxyType({})
    known: Mapping[int, int] = MappingProxyType({})


class Occupancy(NamedTuple):
    """Whether somebody is in a room, as webhooks are told it: the version of that, and the one that this webhook was
    told; 0 is none. `wait_s`: how long until it can be told that the room was left."""

    is_occupied: bool
    version: int
    told_version: int
    wait_s: float


class HookProgress:
    """Reads and moves it; calls raise a StoreError when the store does not do it, Fenced among them."""

    def __init__(self, store: CommandStore, keep_s: int) -> None:
        """`keep_s` is how long it is kept: as long as the position of the room."""
        self._store = store
        self._keep_s = keep_s

    async def unread(self, room: str, hook: str, fence: int, most: int) -> Unread:
        """Up to `most` messages that the webhook was not told."""
        names = (keys.history(room), keys.meta(room), keys.hooked(room, hook))
        reply = await self._store.run(HOOK_READ, names, fence, most)
        if reply[0]:
            raise Fenced(reply[0])
        return _unread(*reply[1:])

    async def advance(
        self,
        room: str,
        hook: str,
        fence: int,
        to: Position,
        known: Mapping[int, int],
        missed: Position | None = None,
    ) -> None:
        """The webhook was told up to there; with `missed`, it was not, and misses what comes after that. `known` are
        the changes that it was told, by seq."""
        after = str(missed) if missed is not None else ""
        changes = " ".join(f"{seq}:{at_ms}" for seq, at_ms in known.items())
        arguments = (fence, to.epoch, to.seq, after, changes, self._keep_s)
        if not await self._store.run(HOOK_ADVANCE, (keys.hooked(room, hook),), *arguments):
            raise Fenced(fence)

    async def occupancy(self, room: str, hook: str, fence: int, stays_s: float) -> Occupancy:
        """Whether somebody is in the room. It was left once it has stayed empty for `stays_s`."""
        names = (keys.users(room), keys.occupied(room), keys.hooked(room, hook), keys.counts(room))
        reply = await self._store.run(HOOK_OCCUPIED, names, fence, round(stays_s * 1000), self._keep_s)
        if reply[0]:
            raise Fenced(reply[0])
        _, is_occupied, version, wait_ms, told = reply
        return Occupancy(bool(is_occupied), version, told, wait_ms / 1000)

    async def occupancy_told(self, room: str, hook: str, fence: int, version: int) -> None:
        """The webhook was told that version."""
        if not await self._store.run(HOOK_TOLD, (keys.hooked(room, hook),), fence, version, self._keep_s):
            raise Fenced(fence)

    async def is_member(self, room: str, username: str) -> tuple[bool, int]:
        """Whether a user is in the room now, and a version of that, higher than all of the room before it."""
        names = (keys.users(room), keys.occupied(room))
        is_here, version = await self._store.run(HOOK_MEMBER, names, username, self._keep_s)
        return bool(is_here), version


def _unread(
    epoch: bytes, seq: int, oldest_seq: int, told: bytes, missed: bytes, known: bytes, first_seq: int,
    stored: list[bytes], newest_ms: int, fields: list[bytes], changed: list[bytes],
) -> Unread:  # fmt: skip
    newest = Position(epoch.decode(), seq) if epoch else NO_POSITION
    entries, more = [readable_entry(entry) for entry in stored], more_of(fields, oldest_seq)
    is_last = bool(entries) and first_seq + len(entries) - 1 == seq
    if more and is_last and not entries[-1].endswith(b":%d}" % newest_ms):
        more = NO_MORE  # others write this list too: nobody knows whose message is in which place
    changes = changes_of(more)
    pairs = zip(changed[::2], changed[1::2], strict=True)
    texts = {int(number): text for number, text in pairs if number.isdigit()}
    return Unread(
        newest, oldest_seq, _position(told), _position(missed), first_seq, entries, newest_ms, more, changes,
        texts, _known(known) if changes else {},
    )  # fmt: skip


def _known(text: bytes) -> dict[int, int]:
    """`<seq>:<time>`, divided by spaces."""
    pairs = (one.partition(b":") for one in text.split())
    return {int(seq): int(at_ms) for seq, _, at_ms in pairs if seq.isdigit() and at_ms.isdigit()}


def _position(text: bytes) -> Position | None:
    """What a key holds that somebody else's hand has written counts as nothing."""
    try:
        return Position.parse(text.decode())
    except ValueError:
        return None
