"""How many sessions there are in rooms of which workers keep only their numbers (`members = "count"`).

Owns one number for each worker and room: a join or a leave writes nothing of its own. A number that was not written
again for three minutes counts no longer, whoever should have cleaned up after its worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway import keys
from gateway.errors import StoreError
from gateway.interfaces import CommandStore, PresenceEvents, Reply
from gateway.state.batches import all_replies
from gateway.state.presence import Change, change_of
from gateway.state.scripts import COUNT_JOIN, COUNT_WRITE


class RoomCounts:
    """This worker's numbers among those of the others."""

    def __init__(self, store: CommandStore, worker: str, events: PresenceEvents | None = None) -> None:
        """`events` is told when a room has its first session, and when its last one is gone."""
        self._store = store
        self._worker = worker
        self._events = events

    def enter(
        self,
        room: str,
        own: int,
        on_result: Callable[[Change | StoreError], None],
        sessions_max: int = 0,
        subject: str = "",
    ) -> None:
        """Asks whether a session may come in, with which this worker has `own`; `on_result` gets what `Presence.enter`
        would say. Nothing is written."""
        names = (keys.users(room), keys.counts(room), keys.moderated(room))
        command = COUNT_JOIN.command(names, self._worker, own, sessions_max, subject)

        def answered(reply: Reply) -> None:
            on_result(reply if isinstance(reply, StoreError) else change_of(reply))

        self._store.submit(names[0], command, answered)

    async def write(self, numbers: Sequence[tuple[str, int]]) -> list[StoreError | None]:
        """Says how many sessions this worker has in these rooms; returns what failed of that, in their order."""
        commands = []
        for room, number in numbers:
            names = (keys.users(room), keys.counts(room))
            commands.append((names[0], COUNT_WRITE.command(names, self._worker, number)))
        replies = await all_replies(self._store, commands)
        for (room, _), reply in zip(numbers, replies, strict=True):
            if not isinstance(reply, StoreError):
                self._tell(room, *reply)
        return [reply if isinstance(reply, StoreError) else None for reply in replies]

    def _tell(self, room: str, before: int, now: int) -> None:
        if self._events is not None and bool(before) != bool(now):
            self._events.on_presence(room, "", bool(now), min(now, 1))
