"""A Lua script as Redis knows it: by its digest."""

from __future__ import annotations

from dataclasses import dataclass

import hiredis


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script: its name, its text, and the SHA-1 digest by which Redis knows it."""

    name: str
    text: bytes
    digest: bytes

    def command(self, keys: tuple[bytes, ...], *arguments: bytes | str | int) -> bytes:
        """The packed EVALSHA command for these keys and arguments."""
        packed: bytes = hiredis.pack_command((b"EVALSHA", self.digest, len(keys), *keys, *arguments))  # type: ignore[arg-type]
        return packed
