"""The files of keys, read at the start, and again when they change.

A new worker reads them, so HUP does; and a worker looks every few seconds whether they are others than before. Who
changes a file wrongly keeps the keys from before, and a line in the log says why; a worker that starts then has no
keys, is not ready, and has them once the file is right. A file that anybody can write is refused.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.access.signing_keys import KeysError, keys_of_file, keys_of_secrets
from gateway.access.verifying_keys import KeySet, VerifyingKey
from gateway.errors import Trouble
from gateway.identity_options import IdentityOptions

log = structlog.get_logger("gateway.access")

LOOK_S = 5.0
"""How often a worker looks whether its files have changed: two system calls."""
FILE_MAX_BYTES = 1_048_576

Marks = tuple[int, int, int] | None
"""By what a changed file is known."""


def read_keys(options: IdentityOptions) -> KeySet:
    """The keys of the file that is named; raises KeysError with its variable and what is wrong."""
    if options.secrets_file:
        return _read("GATEWAY_TOKEN_SECRETS_FILE", options.secrets_file, keys_of_secrets)
    if options.keys_file:
        return _read("GATEWAY_TOKEN_KEYS_FILE", options.keys_file, keys_of_file)
    return KeySet()


def read_hook_secrets(options: IdentityOptions) -> KeySet:
    """What signs the questions to the connect hook; raises KeysError as `read_keys` does."""
    if options.connect_hook_secrets_file:
        return _read("GATEWAY_CONNECT_HOOK_SECRETS_FILE", options.connect_hook_secrets_file, keys_of_secrets)
    return KeySet()


def _read(variable: str, path: str, read: Callable[[str], list[VerifyingKey]]) -> KeySet:
    try:
        return KeySet(read(_text_of(Path(path))))
    except KeysError as wrong:
        raise KeysError(f"{variable}={path!r} is not allowed: {wrong}") from None


def _text_of(path: Path) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise KeysError("it is no file")
        if found.st_mode & stat.S_IWOTH:
            raise KeysError(f"anybody can write to it; chmod o-w {path}")
        if found.st_size > FILE_MAX_BYTES:
            raise KeysError("it is longer than 1 MiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise KeysError(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeysError("it is no text") from None


def open_secrets(options: IdentityOptions) -> list[str]:
    """Files of secrets that every user of this machine can read. Containers mount them so; elsewhere it is a fault."""
    named = (options.secrets_file, options.connect_hook_secrets_file)
    return [path for path in named if path and os.stat(path).st_mode & stat.S_IROTH]


class FileKeys:
    """The keys of a file, as it is now."""

    def __init__(self, options: IdentityOptions) -> None:
        self._options = options
        self._path = options.secrets_file or options.keys_file or ""
        self._keys = KeySet()
        self._marks: Marks = None
        self.trouble: Trouble | None = None
        self._read()

    async def keys_for(self, kid: str | None) -> KeySet:
        """The keys as they were when the file was looked at last."""
        return self._keys

    def holds(self, key: VerifyingKey) -> bool:
        """Whether the file still has it."""
        return self._keys.holds(key)

    async def start(self) -> None:
        """They are here already."""

    async def run(self) -> None:
        """Woken every `LOOK_S`; ended by cancellation."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Reads the file again if it has changed, or was not good before."""
        if self._marks_now() != self._marks:
            self._read()

    def _marks_now(self) -> Marks:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> None:
        is_first = not self._keys
        self._marks = self._marks_now()
        try:
            self._keys = read_keys(self._options)
        except KeysError as wrong:
            log.error("token_keys_not_read", why=str(wrong), keys_that_count=len(self._keys))
            if is_first:
                self.trouble = Trouble(f"no keys for tokens: {wrong}", "correct the file")
            return
        self.trouble = None
        if not is_first:
            log.info("token_keys_read_again", keys=len(self._keys))
