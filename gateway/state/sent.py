"""What was sent under an idempotency key, read before anything is done for it once more.

`scripts/publish.lua` writes these keys, and decides by them; here they are only looked at.
"""

from __future__ import annotations

from gateway import keys
from gateway.errors import KeyReused
from gateway.interfaces import CommandStore


class Sent:
    """Looks up keys of senders."""

    def __init__(self, store: CommandStore) -> None:
        self._store = store

    async def position(self, room: str, user: str, username: str, key: str, content: bytes) -> str | None:
        """The position that a message with this key and content got; None if none did. Raises KeyReused for another
        content, or another StoreError."""
        name = keys.idempotency(room, user, username, key)
        stored = await self._store.call(name, "GET", name)
        if stored is None:
            return None
        position, _, known = stored.partition(b" ")
        if known != content:
            raise KeyReused
        return str(position.decode())
