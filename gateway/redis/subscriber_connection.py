"""A connection for subscriptions: all messages that one read brought are handed on together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import hiredis

from gateway.errors import StoreUnavailable
from gateway.interfaces import Argument, Listener, Reply
from gateway.redis.connection import Connection, as_store_error, pack, settle


class SubscriberConnection(Connection):
    """A connection for subscriptions: hands on all messages that one read brought, together.

    `on_confirmed` gets (kind, channel) for each subscription that begins or ends; kinds are subscribe, ssubscribe,
    psubscribe, and the same with `un`. Errors end the connection: a subscription that is refused must not go unnoticed.
    """

    def __init__(
        self, on_lost: Callable[[], None], on_messages: Listener, on_confirmed: Callable[[bytes, bytes], None]
    ) -> None:
        super().__init__(on_lost)
        self._on_messages = on_messages
        self._on_confirmed = on_confirmed
        self._to_come: deque[asyncio.Future[Reply]] = deque()

    def call(self, *arguments: Argument) -> asyncio.Future[Reply]:
        """Sends a command that is no subscription; only allowed before the first subscription."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._to_come.append(future)
        self.write(pack(*arguments))
        return future

    def subscribe(self, verb: bytes, channels: list[bytes]) -> None:
        """Sends SUBSCRIBE or one of its kind for these channels, or patterns."""
        self.write(pack(verb, *channels))

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._to_come:
            if not future.done():
                future.set_exception(StoreUnavailable("the connection to the store broke"))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.heard_at_s = time.monotonic()
        reader = self._reader
        reader.feed(data)
        messages = []
        while (reply := reader.gets()) is not False:
            if self._to_come:
                settle(self._to_come.popleft())(_raised(reply))
            elif isinstance(reply, list) and reply[0] in (b"message", b"smessage"):
                messages.append((reply[1], reply[2]))
            elif isinstance(reply, list) and reply[0] == b"pmessage":
                messages.append((reply[2], reply[3]))
            elif isinstance(reply, list):
                self._on_confirmed(reply[0], reply[1] or b"")
            else:
                self.refusal = self.refusal or str(reply)
                self.abort()
        if messages:
            self._on_messages(messages)


def _raised(reply: Reply) -> Reply:
    return as_store_error(str(reply)) if isinstance(reply, hiredis.ReplyError) else reply
