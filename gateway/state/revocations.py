"""What is revoked and banned, as Redis holds it.

Owns one hash, `gateway:revoked`, and its version, another one after each change. Who changes something writes the state
first and then tells the workers on `gateway:control`. A worker that misses the word finds the version changed with its
next heartbeat. So a lost message costs one heartbeat, and never lets anybody in.

    field        value (s since 1970)     refuses
    user:<sub>   <not before> <end>       tokens of the user that were issued at that time or before
    jti:<id>     <end>                    the token with that id
    ban:<sub>    <end>                    every token of the user
    ip:<net>     <end>                    every client from that network

The end 0 is never. What has ended counts no more, and is taken away by whoever writes next.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from gateway import keys
from gateway.errors import StoreRefused
from gateway.interfaces import CommandStore
from gateway.state.scripts import REVOKE

ENTRIES_MAX = 10_000
"""How many there may be: what every worker keeps in memory, and reads in half a second."""

PIECE = 100
"""Entries that are read at once: 100 new networks take a worker 1 to 3 ms, entries that it knows a tenth of that."""

USER, TOKEN, BAN, NETWORK = "user:", "jti:", "ban:", "ip:"
"""With which the fields begin."""

NEVER_S = 0.0
"""The end of what has none."""

WORD = b"revoked "
"""What `gateway:control` says; the version follows."""


class TooManyEntries(StoreRefused):
    """There are as many entries as there may be."""


class Change(NamedTuple):
    """One entry as it shall be, without a value to take it away."""

    field: str
    value: str = ""


class Changed(NamedTuple):
    """How many entries there are after a change, and how many of those that it named were there before."""

    entries: int
    known: int


def until(end_s: float) -> str:
    """The value of an entry that ends then."""
    return f"{end_s:.3f}"


def tokens_until(user: str, not_before_s: float, life_s: float) -> Change:
    """Revokes a user's tokens up to a time, or up to a later one that stands already. `life_s` is how long a token
    lives at most, with all that is added."""
    return Change(USER + user, f"{not_before_s:.3f} {until(not_before_s + life_s)}")


def token(token_id: str, end_s: float) -> Change:
    """Revokes one token, which has ended by itself at `end_s`."""
    return Change(TOKEN + token_id, until(end_s))


class RevocationStore:
    """Reads and changes it; every call raises a StoreError when the store does not do it."""

    def __init__(self, store: CommandStore) -> None:
        self._store = store

    async def version(self) -> bytes:
        """The version now; empty where there never was a change."""
        found: bytes | None = await self._store.call(keys.REVOKED_VERSION, "GET", keys.REVOKED_VERSION)
        return found or b""

    async def pieces(self) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """All entries as they were when this began, in pieces of about `PIECE`; of one that changes meanwhile, either
        state. The version asked for before tells afterwards whether any did."""
        cursor = b"0"
        while True:
            cursor, flat = await self._store.call(keys.REVOKED, "HSCAN", keys.REVOKED, cursor, "COUNT", PIECE)
            for at in range(0, len(flat), 2 * PIECE):  # a small hash comes whole
                yield list(zip(flat[at : at + 2 * PIECE : 2], flat[at + 1 : at + 2 * PIECE : 2], strict=True))
            if cursor == b"0":
                return

    async def change(self, changes: Sequence[Change], now_s: float) -> Changed:
        """Makes changes, all or none, and tells the workers. Raises TooManyEntries."""
        arguments = [part for change in changes for part in change]
        entries, known = await self._store.run(
            REVOKE, (keys.REVOKED, keys.REVOKED_VERSION),
            ENTRIES_MAX, keys.CONTROL, WORD, f"{now_s:.3f}", *arguments,
        )  # fmt: skip
        if entries < 0:
            raise TooManyEntries(
                f"{known} revocations and bans stand, and {ENTRIES_MAX} may: wait until some end, or take bans back."
            )
        return Changed(entries, known)


def version_in(payload: bytes) -> bytes | None:
    """The version that a message on `gateway:control` tells of; None for a message about something else."""
    return payload[len(WORD) :] if payload.startswith(WORD) else None
