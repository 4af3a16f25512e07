"""From a session to the store: one script call per message.

Owns the form of the publish command and the reading of its answer. Promises one outcome per message: a position,
or an error that says whether to try again; an answer that did not come is `unavailable`, never guessed. All
commands of one turn of the event loop leave in one write (the connection sees to that).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import orjson

from gateway import keys
from gateway.errors import KeyReused, StoreError, StoreUnavailable, TooSoon
from gateway.interfaces import CommandStore, Reply
from gateway.metrics import ANSWERS_S, acknowledged, duplicates, publish_seconds, published, unavailable
from gateway.option_groups import PublishOptions
from gateway.protocol import whole_entry
from gateway.redis.connection import pack
from gateway.rooms.echoes import ONE_IN, begin_echo
from gateway.rooms.outcomes import StoredBefore
from gateway.rooms.payloads import told_head
from gateway.rooms.publish_commands import PLAIN, WITH_MORE, Once, PublishCommands
from gateway.rooms.room import Room
from gateway.rooms.routes import Route
from gateway.state.changing import Channel, moderated
from gateway.state.keeping import KeptAlike, RoomKeeping

LOOKS_BACK_S = 3600.0
"""How long after its start a worker looks also for what older gateways stored under an idempotency key: longer than a
rolling update takes. Afterwards it would cost each such send a twentieth more of Redis' time, for nothing."""

KEY_REUSED = b"!"
"""What the script answers when the sender has used the idempotency key for another message."""

REFUSALS = b"!~%"
"""With what its answers begin to messages that it has not stored."""


_took = publish_seconds.counts


OnPublished = Callable[[str | StoreError], None]


class Outbox(Protocol):
    """Who is told that a room's history grows: it is read from there by whoever posts it elsewhere."""

    def will_publish(self, room: str) -> bool:
        """A message of that room is submitted next, in the same write as what this submits. Returns whether to say when
        the answer has come."""

    def published(self, room: str, took_s: float) -> None:
        """The answer to one has come, or none will; so long after it was submitted."""


class Publisher:
    """Publishes messages and notices to rooms."""

    def __init__(
        self,
        store: CommandStore,
        route: Route,
        options: PublishOptions,
        clock: Callable[[], float] = time.monotonic,
        keeping: RoomKeeping | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        """`keeping` says how each room is kept; all are kept as the options say without it. `outbox` is told of each
        message, where there is one."""
        self._store = store
        self._route = route
        self._options = options
        self._kept = keeping or KeptAlike(options)
        self.commands = PublishCommands(store, route, options, self._kept)
        self._clock = clock
        self._outbox = outbox
        # Until then gateways may live that store idempotency keys without their senders.
        self._looks_back_until_s = clock() + LOOKS_BACK_S

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
        """Stores an entry, given up to its time (`protocol.entry_head`), tells the room, and calls `on_result` with the
        position `<epoch>:<seq>` or the error. With `once`, what was stored before is not stored again. With a
        `slow_key` (`keys.slow`) the sender must have waited, or the error is `TooSoon`. `more` are the JSON members
        `user` and `meta`, as members get them behind `id`. Who `is_exempt` need not wait as long as moderators
        have set. What they do not allow is the error `Moderated`."""
        published.value += 1
        begun_s = monotonic()
        echo = begin_echo(room, begun_s) if published.value % ONE_IN == 1 else None
        command = self._command(room, head, once, more, is_exempt)
        if slow_key is not None:
            command = self.commands.slowly(command, slow_key, self._kept.keeping(room.name).slow_ms)
        outbox = self._outbox if self._outbox is not None and self._outbox.will_publish(room.name) else None

        def answered(reply: Reply) -> None:
            took_s = monotonic() - begun_s
            # As `Histogram.observe`, a third cheaper: for each message.
            _took[bisect_left(ANSWERS_S, took_s)] += 1
            publish_seconds.sum += took_s
            if outbox is not None:
                outbox.published(room.name, took_s)
            if echo is not None:
                echo.answered(room, reply)
            self._finish(room, reply, head, on_result)

        submit = self._with_replicas if self._options.wait_replicas else self._store.submit
        submit(keys.history(room.name), command, answered)

    def _command(self, room: Room, head: bytes, once: Once | None, more: bytes, is_exempt: bool) -> bytes:
        """The command that stores a message. Nearly always one formatting makes it; see `publish_commands.py`."""
        seq = room.detector.highest_seq(room.epoch, room.seq)
        if once is not None or seq is None or is_exempt:
            looks_back = self._clock() < self._looks_back_until_s
            return self.commands.particular(room, head, once, more, looks_back, is_exempt)
        epoch, number = room.epoch_bytes, b"%d" % seq
        shared = room.publish_head or self.commands.prepare(room)
        own = (shared, len(epoch), epoch, len(number), number, len(head), head)
        return WITH_MORE % (*own, len(more), more) if more else PLAIN % own

    def will_change(self, room: str) -> None:
        """A stored message of that room is changed next: whoever posts the history elsewhere looks again."""
        if self._outbox is not None:
            self._outbox.will_publish(room)

    def tell(self, room: str, event: str, data: bytes, except_session: str = "") -> None:
        """Tells a room an event with this JSON, at most once, to all but one session; nobody waits for it. A notice is
        a `receive` that nobody stores; the others are in `payloads.EVENTS_TOLD`."""
        told = self.channel(room, event, except_session)
        command = pack(told.verb, told.name, b"".join((told.before, data, told.after)))
        self._store.submit(keys.history(room), command, _nobody)

    def channel(self, room: str, event: str, except_session: str = "") -> Channel:
        """How a room is told an event: what is around its JSON."""
        before, between, after = self._route.wrapping(event)
        head = before + told_head(event, except_session) + orjson.dumps(room).join(between)
        return Channel(self._route.publish_verb, self._route.channel(room), head, after)

    def tell_position(self, room: Room) -> None:
        """Tells all workers where the room is now, at most once: who is elsewhere reads its history."""
        payload = self._route.position(room.name, str(room.position))
        command = pack(self._route.publish_verb, self._route.channel(room.name), payload)
        self._store.submit(keys.history(room.name), command, _nobody)

    def _finish(self, room: Room, reply: Reply, head: bytes, on_result: OnPublished) -> None:
        """Tells what came of a message."""
        if not isinstance(reply, bytes):
            unavailable.add(1)
            on_result(reply)
            return
        if reply[0] in REFUSALS:
            on_result(_refusal(reply))
            return
        acknowledged.value += 1
        if reply.startswith(b"="):  # stored before, by its idempotency key
            duplicates.add(1)
            on_result(StoredBefore(reply[1:].decode()))
            return
        found, _, created_ms = reply.partition(b" ")
        position = found.decode()
        epoch, _, seq = position.partition(":")
        if room.epoch != epoch:
            room.publish_head = None  # its spare epoch may be the one that was taken
        room.detector.acknowledged(epoch, int(seq), whole_entry(head, created_ms))
        on_result(position)

    def _with_replicas(self, key: bytes, command: bytes, answered: Callable[[Reply], None]) -> None:
        """The same with WAIT behind it: a message that too few replicas have is `unavailable`, though stored."""
        options = self._options
        replies: dict[str, Reply] = {}

        def one_of_two(which: str, reply: Reply) -> None:
            replies[which] = reply
            if len(replies) < 2:
                return
            stored, replicas = replies["stored"], replies["replicas"]
            if not isinstance(stored, bytes) or isinstance(replicas, StoreError):
                answered(stored if not isinstance(stored, bytes) else replicas)
            elif which == "stored":  # its slot moved: the wait was over before, and says nothing about it
                answered(StoreUnavailable("whether replicas have the message is not known"))
            elif replicas < options.wait_replicas:
                answered(StoreUnavailable(f"{replicas} of {options.wait_replicas} replicas have the message"))
            else:
                answered(stored)

        self._store.submit(key, command, lambda reply: one_of_two("stored", reply))
        wait = pack(b"WAIT", options.wait_replicas, int(options.wait_s * 1000))
        self._store.submit(key, wait, lambda reply: one_of_two("replicas", reply))


def _refusal(reply: bytes) -> StoreError:
    if reply == KEY_REUSED:
        return KeyReused()
    return TooSoon(int(reply[1:])) if reply.startswith(b"~") else moderated(reply)


def _nobody(reply: Reply) -> None:
    """A notice is at most once: nobody waits for the answer."""
