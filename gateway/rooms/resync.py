"""Bringing rooms up by position: the one reader of snapshots.

A room asks for a snapshot when somebody joins, when a message is missing, when a slow member has read all, and after
Redis or its channel was away. One coroutine per room that asks does all of it (`Resync.run`), from the question to the
last member:

- live members get what they missed, or are told `gap`;
- members that lagged are brought up by their own positions;
- those who wait for the snapshot get it.

Nobody else reads a snapshot for members, and nobody else tries again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import structlog

from gateway.errors import StoreError, StoreRefused, StoreUnavailable
from gateway.metrics import epochs_begun, repairs, snapshots
from gateway.protocol import Position
from gateway.rooms import catching_up
from gateway.rooms.changes import changed_packet, missed_changes
from gateway.rooms.member import Member, MemberState
from gateway.rooms.position_check import Arrival, Missed, is_ahead, judge, missed
from gateway.rooms.replays import Replays, gap_packet, history_packets
from gateway.rooms.room import Room
from gateway.state.history import NO_POSITION, Observed, Snapshot

log = structlog.get_logger("gateway.hub")

RETRY_S = 0.5
"""First pause before a snapshot that failed is asked for again. Members get nothing meanwhile, and a Redis that is away
must not be asked by all rooms at once as fast as it refuses."""

RETRY_MOST_S = 8.0
"""Each pause while the store is away is twice the one before, up to this. When it is back nobody waits for the end of a
pause: every room is read then."""

JITTER = 0.2
"""Each pause is up to a fifth shorter or longer, so that rooms do not all ask in one moment."""


class Answer(NamedTuple):
    """A snapshot, or why there is none.

    `is_settled` says that commands and channel lead to one server: the channel goes on from this snapshot, and what
    was observed elsewhere has been told to the right server. `origin` is what that server's messages say they come
    from, where others' may come by the same channel.
    """

    snapshot: Snapshot | StoreError
    is_settled: bool = False
    origin: str = ""


class SnapshotSource(Protocol):
    """Where snapshots come from, and the times between them."""

    def turn(self) -> AbstractAsyncContextManager[object]:
        """Holds a reading up while too many are under way."""

    async def read(self, room: Room, observed: Observed, wanted: Position) -> Answer:
        """Reads a snapshot, of entries from `wanted` on; raises StoreError."""

    async def pause(self, pause_s: float, woken: asyncio.Event) -> None:
        """Returns after `pause_s`, or when `woken` is set."""


Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Resync:
    """The readings of one worker's rooms."""

    def __init__(self, source: SnapshotSource, spawn: Spawn, on_epoch_begun: Callable[[Room], None]) -> None:
        """`spawn` runs a coroutine in the background; `on_epoch_begun` tells other workers that a reading found data
        lost."""
        self._source = source
        self._spawn = spawn
        self._on_epoch_begun = on_epoch_begun

    def start(self, room: Room) -> None:
        """A room wants a snapshot."""
        if not room.reading.is_running:
            room.reading.is_running = True
            self._spawn(self.run(room))

    async def run(self, room: Room) -> None:
        """Woken by `start`. Ends when the room wants no snapshot, or the store refused one: that cannot pass, so it is
        logged once, and asked for again when something happens in the room. After one that was not settled, or while
        the store is away, pauses from `RETRY_S` to `RETRY_MOST_S`, if members or other workers depend on it."""
        failures = 0
        try:
            while _wants_snapshot(room):
                failovers, answer = await self._ask(room)
                is_settled = self._deal_with(room, answer, failovers)
                failures = failures + 1 if isinstance(answer.snapshot, StoreUnavailable) else 0
                if self._is_given_up(room, answer.snapshot) or is_settled or _wants_snapshot(room):
                    continue
                if room.members or room.observed.is_suspicious:
                    await self._pause(room, min(RETRY_S * 2 ** max(0, failures - 1), RETRY_MOST_S))
        finally:
            room.reading.is_running = False

    @staticmethod
    def _is_given_up(room: Room, snapshot: Snapshot | StoreError) -> bool:
        """Whether the store refused the snapshot; what it refuses is logged when it begins to."""
        was_refused = room.reading.is_refused
        room.reading.is_refused = isinstance(snapshot, StoreRefused)
        room.follow_if_possible()
        if room.reading.is_refused and not was_refused:
            log.error("room_unreadable", room=room.name, reason=str(snapshot))
        return room.reading.is_refused

    async def _pause(self, room: Room, pause_s: float) -> None:
        woken = room.reading.woken = asyncio.Event()
        await self._source.pause(pause_s * random.uniform(1 - JITTER, 1 + JITTER), woken)
        room.reading.woken = None
        if not _wants_snapshot(room):
            room.request_again()

    async def _ask(self, room: Room) -> tuple[int, Answer]:
        """Asks once; returns how many failovers there had been when the question was put, and what came of it."""
        failovers = room.reading.failovers
        try:
            async with self._source.turn():
                snapshots.because("join" if room.reading.waiting else "repair")
                failovers = room.reading.failovers
                observed = room.detector.ask(room.position)
                return failovers, await self._source.read(room, observed, wanted_from(room))
        except StoreError as error:
            return failovers, Answer(error)

    def _deal_with(self, room: Room, answer: Answer, failovers: int) -> bool:
        """Applies an answer; returns whether it settled the room. What fails inside is this room's alone."""
        snapshot = answer.snapshot
        must_go_on = False
        try:
            must_go_on = apply(room, answer, failovers)
        except Exception:
            log.exception("room_delivery_failed", room=room.name)
            snapshot = StoreError("the snapshot could not be applied")
        finally:  # whatever fails above, the room can be read again
            room.reading.end()
            room.follow_if_possible()
        if must_go_on:
            room.request()
        is_settled = isinstance(snapshot, Snapshot) and not room.reading.is_unsure
        repairs.because(result_of(snapshot, is_settled))
        if isinstance(snapshot, Snapshot) and snapshot.has_begun:
            epochs_begun.add(1)
            self._on_epoch_begun(room)
        return is_settled


def result_of(answer: Snapshot | StoreError, is_settled: bool) -> str:
    """What came of a reading, as `metrics.repairs` names it."""
    if isinstance(answer, Snapshot):
        return "settled" if is_settled else "unsettled"
    if isinstance(answer, StoreUnavailable):
        return "unavailable"
    return "refused" if isinstance(answer, StoreRefused) else "failed"


def _wants_snapshot(room: Room) -> bool:
    return room.reading.is_open


def wanted_from(room: Room) -> Position:
    """The oldest entry that somebody needs, with the room where it is: whoever wants the whole history wants all."""
    epoch, begun_at = room.epoch, room.reading.begun_at.position
    readers = [one.position for one in room.reading.waiting]
    readers += [one.position for one in room.members.values() if one.state is MemberState.LAGGING]
    if not epoch or begun_at.epoch != epoch:
        return NO_POSITION
    seq = min(begun_at.seq, room.detector.oldest_seq(epoch) or begun_at.seq)
    for position in readers:
        if position is None or position.epoch != epoch or position.seq > room.seq:
            return NO_POSITION
        seq = min(seq, position.seq + 1)
    return Position(epoch, seq)


def _suffices(snapshot: Snapshot, position: Position | None) -> bool:
    """Whether who waits can be served; who is ahead of the snapshot may have to get the whole history."""
    return snapshot.covers(position) and (snapshot.from_seq == 0 or not is_ahead(position, snapshot))


def apply(room: Room, answer: Answer, failovers: int) -> bool:
    """Deals with one answer: live members first, then those who lagged, then those who wait. Returns whether another
    snapshot is needed at once."""
    reading, detector, snapshot = room.reading, room.detector, answer.snapshot
    reading.made = Replays()
    if isinstance(snapshot, Snapshot):
        if detector.is_contradicted(snapshot, reading.begun_at if room.members else None):
            return True
        if answer.is_settled:
            detector.confirm()
            room.enter(room.epoch, answer.origin)
        is_old = reading.failovers != failovers  # another server was left since the question
        reading.is_unsure = not answer.is_settled or (reading.is_unsure and is_old)
        _align(room, snapshot)
        for member in list(room.members.values()):
            if member.state is MemberState.LAGGING and not member.socket.is_behind:
                if snapshot.covers(member.position):
                    _bring_up(room, member, snapshot)
                else:
                    reading.must_repeat = True
    waiting, reading.waiting = reading.waiting, []
    for one in waiting:
        if isinstance(snapshot, Snapshot) and not _suffices(snapshot, one.position):
            reading.waiting.append(one)
        else:
            one.on_snapshot(snapshot)
    if reading.waiting or (answer.is_settled and detector.has_observations):
        return True
    is_late = isinstance(snapshot, Snapshot) and any(
        judge(room.position, one.epoch, one.seq) is Arrival.HOLE for one, _ in reading.buffer
    )
    return (is_late or reading.must_repeat) and not room.is_idle


def _align(room: Room, snapshot: Snapshot) -> None:
    """Brings the position and the live members to the snapshot, then over what the channel brought after it."""
    found = _missed_by_live(room, snapshot) if room.epoch else None
    packets = _packets_of(room, found, snapshot)
    if sum(map(len, packets)) > catching_up.PIECE_BYTES:
        packets = []
        room.outgoing.flush()
        for member in room.members.values():
            room.pause(member)  # each is brought up in pieces
    room.changes.take_snapshot(snapshot)
    if found is None or found.is_gap or snapshot.seq > room.seq:
        room.move_to(snapshot)
    if packets:
        room.outgoing.now(packets)  # behind the move: who is behind by this has all up to here
    if room.reading.is_unsure:
        return
    for arrived, data in room.reading.buffer:
        if arrived.is_from_elsewhere(room.origin):
            room.reading.must_repeat = True
        elif judge(room.position, arrived.epoch, arrived.seq) is Arrival.NEXT:
            room.deliver(arrived.seq, data)


def _packets_of(room: Room, found: Missed | None, snapshot: Snapshot) -> list[bytes]:
    """What live members get of what they missed: changes of messages that they have, then messages."""
    if found is None or not room.members:
        return []
    packets = [gap_packet(room.name, found.trusted, found.cause)] if found.is_gap else []
    if room.epoch == snapshot.epoch:
        unknown = room.changes.unknown(snapshot, room.seq)
        packets += [changed_packet(room.name_json, snapshot, seq) for seq in unknown]
    return packets + history_packets(room.name_json, found.entries, snapshot)


def _missed_by_live(room: Room, snapshot: Snapshot) -> Missed:
    """What the live members lack. The channel may have brought them further than the snapshot since it was asked for;
    only a snapshot behind what had been delivered by then shows that Redis went back."""
    last = room.position
    if last.epoch == snapshot.epoch and room.reading.begun_at.position.seq <= snapshot.seq < last.seq:
        last = snapshot.position
    return missed(last, snapshot)


def _bring_up(room: Room, member: Member[Room], snapshot: Snapshot) -> None:
    """Makes a member live that has got what it missed by its own position, or as much of it as it takes now."""
    position, after = member.position, snapshot.seq
    if position is None:
        found = Missed(snapshot.after(0), False)
    elif position.epoch == room.epoch == snapshot.epoch and position.seq > snapshot.seq:
        found, after = Missed((), False), position.seq  # it was paused while the snapshot was under way
    else:
        found = missed(position, snapshot)
    if found.is_gap:
        member.answers = [answer.with_gap() for answer in member.answers]
    first = [gap_packet(room.name, found.trusted, found.cause)] if found.is_gap else []
    changes = missed_changes(room.name_json, room.changes, snapshot, position, member.changes)
    replay = room.reading.made.of(room.name_json, found.entries, snapshot)
    live = room.reading.packets_after(Position(room.epoch, after))
    if first or changes or live or not catching_up.catch_up_at_once(room, member, position, replay):
        catching_up.catch_up(room, member, position, first, [*replay.numbered, *live], changes)
