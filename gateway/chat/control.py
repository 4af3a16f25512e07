"""Words to all workers, on `gateway:control`, and who hears them.

A word is a JSON object with `do`, which says whom it is for, and what that one needs:

    {"do":"disconnect","user":"42","reconnect":true,"code":"moved"}

A word is heard at most once: by the workers that listen at that moment. So what must hold is written as state first,
and the word only says it sooner than a worker would find out (revocations, moderation). The one word of older
gateways, `revoked <version>`, is still said and understood: workers of both versions run side by side for a while.

Owns the form of words and their dispatch. Anybody who reaches Redis can speak here: what is malformed is counted and
changes nothing, and a word that somebody cannot handle is logged and keeps no other from being heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog

from gateway import keys
from gateway.interfaces import CommandStore
from gateway.metrics import control_malformed
from gateway.state.revocations import version_in

log = structlog.get_logger("gateway.chat")

WORD_BYTES_MAX = 65_536
"""Longest word that is read: what a backend may say in one request fits in."""

REVOKED = "revoked"
"""What the word of older gateways is for."""

Word = Mapping[str, Any]
Hear = Callable[[Word], None]
"""Takes a word; raises ValueError, TypeError or KeyError for one that it does not understand."""


class Control:
    """Says words, and hands those that come to who hears them."""

    def __init__(self, store: CommandStore, hear: Mapping[str, Hear]) -> None:
        """`hear` has, for each `do`, who takes the word."""
        self._store = store
        self._hear = dict(hear)

    def hear(self, do: str, hear: Hear) -> None:
        """From now on words for `do` are this one's."""
        self._hear[do] = hear

    async def say(self, do: str, **about: Any) -> None:
        """Tells all workers, this one too, at most once. Raises a StoreError."""
        word = orjson.dumps({"do": do, **about})
        await self._store.call(keys.CONTROL, "PUBLISH", keys.CONTROL, word)

    async def disconnect(self, user: str, reconnect: bool, code: str = "") -> None:
        """Ends all connections of a user, on every worker that hears it. Raises a StoreError."""
        await self.say("disconnect", user=user, reconnect=reconnect, code=code)

    def on_message(self, payload: bytes) -> None:
        """Something came on the channel. A word that nobody here knows is a newer worker's."""
        word = read_word(payload)
        if word is None:
            control_malformed.add(1)
            return
        hear = self._hear.get(word["do"])
        if hear is None:
            return
        try:
            hear(word)
        except (ValueError, TypeError, KeyError):
            control_malformed.add(1)
        except Exception:
            log.exception("control_word_failed", do=word["do"])


def read_word(payload: bytes) -> Word | None:
    """A word as an object; None if it is none."""
    if (version := version_in(payload)) is not None:
        return {"do": REVOKED, "version": version.decode(errors="replace")}
    if len(payload) > WORD_BYTES_MAX:
        return None
    try:
        word = orjson.loads(payload)
    except ValueError:
        return None
    return word if isinstance(word, dict) and isinstance(word.get("do"), str) else None
