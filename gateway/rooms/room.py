"""One room on one worker: what has been delivered, to whom, and what must be read before going on.

Owns the room's position on this worker, its members, and the one snapshot that may be under way. Promises that live
members get every stored message once and in order, or are told of a gap; that a member joins without gap or double
between history and live; that joins which arrive together share one snapshot; and that a store which does not hold
what was seen or acknowledged here is made to say so to all workers, by a new epoch. Does no I/O of its own: the hub
reads snapshots.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import orjson

from gateway.errors import StoreError
from gateway.metrics import delivered, holes
from gateway.protocol import Position, receive_json
from gateway.rooms.fanout import Targets
from gateway.rooms.loss_detector import LossDetector
from gateway.rooms.member import Member
from gateway.rooms.position_check import Arrival, Missed, Observation, judge, missed
from gateway.rooms.replays import RECEIVE, gap_packet, history_packets
from gateway.state.history import NO_POSITION, Snapshot

Waiting = Callable[[Snapshot | StoreError], None]
"""Somebody who waits for a snapshot: called with it, or with the error, synchronously."""


class Room:
    """One room on one worker. Members are live (they get what comes) or held back (behind, or not yet brought up)."""

    __slots__ = (
        "_asked",
        "_asked_data",
        "_before",
        "_buffer",
        "_is_told",
        "_last_data",
        "_loss_detector",
        "_must_read_again",
        "_read",
        "_targets",
        "_waiting",
        "channel",
        "epoch",
        "epoch_bytes",
        "idle_since_s",
        "is_reading",
        "is_unsure",
        "joining",
        "members",
        "name",
        "name_json",
        "publish_head",
        "seq",
    )

    def __init__(
        self,
        name: str,
        channel: bytes,
        read: Callable[[Room], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` asks for a snapshot, which comes back by `snapshot_came`."""
        self.name = name
        self.name_json = orjson.dumps(name)
        self.channel = channel
        self.publish_head: bytes | None = None
        self.epoch = ""
        self.epoch_bytes = b""
        self.seq = 0
        self.members: dict[str, Member[Room]] = {}
        self.is_reading = False
        self.is_unsure = False  # after a move, until a snapshot of the server that the channel leads to
        self.joining = 0  # members that are on their way in
        self.idle_since_s = 0.0
        self._must_read_again = self._is_told = False
        self._read = read
        self._targets: Targets | None = None
        self._buffer: list[tuple[str, int, bytes]] = []
        self._waiting: list[Waiting] = []
        self._last_data: bytes | None = None
        self._asked = self._before = NO_POSITION
        self._asked_data: bytes | None = None
        self._loss_detector = LossDetector(self.name_json, clock)

    @property
    def position(self) -> Position:
        """The last position delivered to live members; no epoch before the first snapshot."""
        return Position(self.epoch, self.seq)

    @property
    def claim(self) -> tuple[Position, bytes]:
        """What a publisher tells the store: the highest position that is known to have existed, and why the store may
        not hold it."""
        return self._loss_detector.claim(self.position)

    def tell(self) -> tuple[Position, bytes]:
        """The same for who reads the snapshot; `snapshot_came` follows."""
        self._is_told = True
        return self._loss_detector.tell(self.position)

    def acknowledged(self, epoch: str, seq: int, entry: bytes) -> None:
        """A message of this room, as it is stored, got this position."""
        self._loss_detector.acknowledged(epoch, seq, entry)

    def moved(self, at_s: float) -> None:
        """The store, or the channel, is another server than before, which was last heard at `at_s`."""
        self._loss_detector.left(self.position, self._last_data, at_s)
        self.is_unsure, self._is_told = bool(self.epoch), False

    @property
    def is_idle(self) -> bool:
        """Whether nobody here needs this room."""
        return not self.members and not self._waiting and not self.joining

    # -- members

    def add(self, member: Member[Room]) -> None:
        """Makes a member live from the present position on."""
        member.is_live, member.position = True, None
        self.members[member.session] = member
        self._targets = None

    def remove(self, member: Member[Room]) -> None:
        """Forgets a member."""
        member.is_live = False
        if self.members.get(member.session) is member:
            del self.members[member.session]
        self._targets = None

    def hold_back(self, member: Member[Room]) -> None:
        """A member is behind: it gets nothing live until it has been brought up again."""
        if member.is_live:
            member.is_live, member.position = False, self.position
            self._targets = None

    def park(self, member: Member[Room]) -> None:
        """A member joins again: it gets nothing until that is done, or failed and `put_back` is called."""
        position = member.position or self.position
        self.remove(member)
        member.position = position

    def put_back(self, member: Member[Room]) -> None:
        """The member's joining again failed: it is brought up by the position that it had."""
        self.members[member.session] = member
        self.repair()

    def catch_up(self, member: Member[Room]) -> None:
        """A member that was behind has room: the next snapshot brings it up by its own position."""
        if not member.is_live and self.members.get(member.session) is member:
            self.start_reading()

    def refresh_targets(self) -> None:
        """A member writes in another way than before."""
        self._targets = None

    # -- live messages

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Takes what the room's channel brought, in order: `<epoch>:<seq> <JSON>`, or `-<session> <JSON>` for a
        notice that this session does not get."""
        packets: list[bytes] = []
        for payload in payloads:
            head, _, data = payload.partition(b" ")
            if not data:
                self._told(head)
                continue
            epoch, _, number = head.partition(b":")
            is_next = epoch == self.epoch_bytes and number and int(number) == self.seq + 1
            if is_next and not self.is_reading and not self.is_unsure:
                self.seq += 1
                self._last_data = data
                packets.append(RECEIVE + data + b"]")
                continue
            if packets:
                self._write(packets)
                packets = []
            if head.startswith(b"-"):
                self._notice(head[1:].decode(), RECEIVE + data + b"]")
            else:
                self._unexpected(epoch.decode(), int(number), data)
        if packets:
            self._write(packets)

    def _write(self, packets: Sequence[bytes]) -> None:
        targets = self._targets
        if targets is None:
            targets = Targets([member.socket for member in self.members.values() if member.is_live])
            self._targets = targets
        delivered.add(len(packets) * targets.write(packets))

    def _notice(self, skipped: str, packet: bytes) -> None:
        for member in list(self.members.values()):
            if member.is_live and member.session != skipped:
                member.socket.send_text(packet)

    def _unexpected(self, epoch: str, seq: int, data: bytes) -> None:
        """A message while a snapshot is under way, or one that does not follow the last."""
        if self.is_reading:
            self._buffer.append((epoch, seq, data))
        arrival = judge(self.position, epoch, seq)
        if epoch == self._before.epoch and seq <= self._before.seq:
            self._loss_detector.suspect(epoch)
            self.repair()
        elif self.is_unsure:
            return  # the number may be another message's: the snapshot will show it
        elif arrival is Arrival.NEXT:
            self._deliver(seq, data)
        elif arrival is Arrival.HOLE and not self.is_reading:
            if self.is_idle:
                self.epoch, self.epoch_bytes = "", b""  # nobody misses it; the next join begins anew
            else:
                holes.add(1)
                self.start_reading()

    def _told(self, head: bytes) -> None:
        """Another worker tells where the room is, because the store had lost something of it."""
        epoch, _, number = head.partition(b":")
        if number.isdigit() and (epoch != self.epoch_bytes or int(number) > self.seq):
            self.repair()

    def _deliver(self, seq: int, data: bytes) -> None:
        self.seq, self._last_data = seq, data
        self._write((RECEIVE + data + b"]",))

    # -- snapshots

    def with_snapshot(self, then: Waiting) -> None:
        """Calls `then` with a snapshot that was asked for after this moment or, shared, shortly before it: what the
        channel brought since then is kept here and follows by `packets_after`."""
        self._waiting.append(then)
        self.start_reading()

    def channel_lost(self) -> None:
        """What the channel brings when it is back was published after this moment: if it bears a number that was
        delivered before, the store has lost data and numbers on."""
        self._before = self.position

    def repair(self) -> None:
        """The channel was away: a snapshot that is asked for from now on shows what it did not bring."""
        if self.is_reading:
            self._must_read_again = True
        elif (
            not self.is_idle or self._loss_detector.has_claims
        ):  # what was seen here, others may have to be told
            self.start_reading()

    def start_reading(self) -> None:
        """Asks for a snapshot unless one is under way."""
        if not self.is_reading:
            self.is_reading = True
            self._must_read_again = False
            self._buffer = []
            self._asked, self._asked_data = self.position, self._last_data
            self._read(self)

    def snapshot_came(self, snapshot: Snapshot | StoreError, is_settled: bool = True) -> None:
        """The snapshot that was asked for: live members first, then who was held back, then those who wait. Whoever
        asks for another one meanwhile gets it after this one has been dealt with. `is_settled` says that commands and
        channel lead to the same server: what was seen elsewhere has then been told to the right one."""
        must_go_on = False
        try:
            must_go_on = self._take(snapshot, is_settled)
        finally:  # whatever fails above, the room can be read again
            self._buffer = []
            self.is_reading = False
        if must_go_on:
            self.start_reading()

    def _take(self, snapshot: Snapshot | StoreError, is_settled: bool) -> bool:
        """Deals with a snapshot; returns whether another one is needed."""
        if isinstance(snapshot, Snapshot):
            last = Observation(self._asked, self._asked_data) if self.members else None
            if self._loss_detector.is_contradicted(snapshot, last):
                return True
            if is_settled:
                self._loss_detector.settle()
            self.is_unsure = not is_settled or (self.is_unsure and not self._is_told)
            self._align(snapshot)
            for member in list(self.members.values()):
                if not member.is_live and not member.socket.is_behind:
                    self._bring_up(member, snapshot)
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(snapshot)
        is_late = isinstance(snapshot, Snapshot) and any(
            judge(self.position, epoch, seq) is Arrival.HOLE for epoch, seq, _ in self._buffer
        )
        has_claims = is_settled and self._loss_detector.has_claims
        return bool(self._waiting) or has_claims or ((is_late or self._must_read_again) and not self.is_idle)

    def _align(self, snapshot: Snapshot) -> None:
        """Brings the position and the live members to the snapshot, then over what the channel brought after it."""
        found = self._missed_by_live(snapshot) if self.epoch and self.members else None
        if found is None or found.is_gap:
            packets = [gap_packet(self.name, found.trusted)] if found is not None else []
            packets += self._replayed(found.entries if found is not None else (), snapshot)
            self._move_to(snapshot)
        else:
            packets = self._replayed(found.entries, snapshot)
            if snapshot.seq > self.seq:
                self._move_to(snapshot)
        if packets:
            self._write(packets)
        for epoch, seq, data in self._buffer:
            if not self.is_unsure and judge(self.position, epoch, seq) is Arrival.NEXT:
                self._deliver(seq, data)

    def _missed_by_live(self, snapshot: Snapshot) -> Missed:
        """What the live members lack. The channel may have brought them further than the snapshot since it was asked
        for; only a snapshot that is behind what had been delivered by then shows that the store went back."""
        last = self.position
        if last.epoch == snapshot.epoch and self._asked.seq <= snapshot.seq < last.seq:
            last = snapshot.position
        return missed(last, snapshot)

    def _move_to(self, snapshot: Snapshot) -> None:
        if snapshot.epoch != self.epoch:
            self.publish_head = None  # its spare epoch may be the one that was taken
        self.epoch, self.epoch_bytes, self.seq = snapshot.epoch, snapshot.epoch.encode(), snapshot.seq
        newest = snapshot.entry_at(snapshot.seq)
        self._last_data = None
        if newest is not None:
            self._last_data = receive_json(newest, self.name_json, snapshot.position)

    def _bring_up(self, member: Member[Room], snapshot: Snapshot) -> None:
        position, after = member.position or NO_POSITION, snapshot.seq
        if position.epoch == self.epoch == snapshot.epoch and position.seq > snapshot.seq:
            found, after = (
                Missed((), False),
                position.seq,
            )  # it was held back while the snapshot was under way
        else:
            found = missed(position, snapshot)
        packets = [gap_packet(self.name, found.trusted)] if found.is_gap else []
        packets += self._replayed(found.entries, snapshot)
        packets += self.packets_after(after)
        self.add(member)
        if packets:
            member.socket.send_texts(packets)

    # -- packets

    def _replayed(self, entries: Sequence[tuple[int, bytes]], snapshot: Snapshot) -> list[bytes]:
        return history_packets(self.name_json, entries, snapshot.epoch)

    def packets_after(self, after: int) -> list[bytes]:
        """The `receive` packets of what the channel brought, and live members got, after a seq of the snapshot's
        or later. What arrives while a snapshot is under way is kept, at most for the store's time-out."""
        return [
            RECEIVE + data + b"]"
            for epoch, seq, data in self._buffer
            if epoch == self.epoch and after < seq <= self.seq
        ]
