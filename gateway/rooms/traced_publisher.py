"""The publisher of a worker that traces: beside it the plain one knows nothing of traces.

Owns how a traced message is told: by the publish script's other form, which takes what goes around the position of the
note as two arguments more. What is not traced goes the way that it would go without.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from gateway.errors import StoreError
from gateway.interfaces import CommandStore, Reply
from gateway.option_groups import PublishOptions
from gateway.rooms.publish_commands import Once, PublishCommands
from gateway.rooms.publisher import OnPublished, Outbox, Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import Route
from gateway.rooms.traced_notes import note_around
from gateway.state.keeping import RoomKeeping
from gateway.tracing import Tracing


class TracedPublisher(Publisher):
    """A publisher that traces some of what it publishes."""

    def __init__(
        self,
        tracing: Tracing,
        store: CommandStore,
        route: Route,
        options: PublishOptions,
        clock: Callable[[], float] = time.monotonic,
        keeping: RoomKeeping | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        # Named one by one: mypyc hands on a `**more` as the first argument that has a default.
        super().__init__(store, route, options, clock, keeping, outbox)
        self._tracing = tracing
        self._noting = _NotingStore(store, self.commands)
        # Of a store it uses these two alone: `submit` and `has_origins`.
        self._traced = Publisher(cast(CommandStore, self._noting), route, options, clock, keeping, outbox)

    def publish(
        self,
        room: Room,
        head: bytes,
        once: Once | None,
        on_result: OnPublished,
        slow_key: bytes | None = None,
        more: bytes = b"",
        is_exempt: bool = False,
    ) -> None:
        """The same. What has to wait for its turn by a rule (`slow_key`) has a script of its own, and is not traced."""
        span = self._tracing.begin_store() if slow_key is None else None
        if span is None:
            super().publish(room, head, once, on_result, slow_key, more, is_exempt)
            return

        def answered(result: str | StoreError) -> None:
            span.end(result)
            on_result(result)

        self._noting.note = note_around(self._route, room.name, span.traceparent)
        self._traced.publish(room, head, once, answered, None, more, is_exempt)


class _NotingStore:
    """Puts a note into the publish command that is submitted next."""

    def __init__(self, store: CommandStore, commands: PublishCommands) -> None:
        self._store = store
        self._commands = commands
        self.note = (b"", b"")

    @property
    def has_origins(self) -> bool:
        return self._store.has_origins

    def submit(self, key: bytes, command: bytes, on_reply: Callable[[Reply], None]) -> None:
        self._store.submit(key, self._commands.traced(command, self.note), on_reply)
