"""One room on one worker: its position, its members, and the live path.

A message from the room's channel that follows the room's position is written to all live members at once. Everything
else (a hole, another epoch, a message while the history is being read) is left to `resync.py`, which brings the room
and its members up by position. Does no I/O.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import orjson

from gateway.metrics import holes, malformed
from gateway.protocol import Position, event_packet, receive_json
from gateway.rooms.batch import Batch, Beside
from gateway.rooms.changes import Changes, ChangeTold
from gateway.rooms.fanout import MEASURED_IN
from gateway.rooms.loss_detector import LossDetector
from gateway.rooms.member import HearsRoom, Member, MemberState
from gateway.rooms.outgoing import OpenWindow, Outgoing
from gateway.rooms.payloads import BEGINS, ENDS, TRACED, Arrived, Told, channel_epoch, is_utf_8, parse_payload
from gateway.rooms.position_check import Arrival, judge
from gateway.rooms.reading import OnSnapshot, Reading, Waiting
from gateway.rooms.replays import RECEIVE
from gateway.state.history import Observed, Snapshot

StartResync = Callable[["Room"], None]
"""Begins to bring a room up by position, or goes on with it."""


class Room:
    """One room on one worker. It begins without an epoch, and has one from the first snapshot on.

    name, name_json   its name, and that as JSON
    channel           the one that its messages come by
    epoch, seq        the position of the last message that live members got
    epoch_bytes       the epoch as Redis is told it
    origin            the server that stores the room's messages, where the channel can bring another's; else empty
    channel_epoch     the epoch as that server's messages bring it
    last_data         the last message itself, as the channel brings it; None where it is not known
    members           by session
    joining           members that are on their way in
    is_following      whether a message that follows the position is written at once: not while the history is read,
                      nor after a failover until a snapshot has confirmed the position
    changes           which stored messages were changed, as far as live members know it
    detector          what was observed here, for a Redis that may have lost it
    reading           the state of reading its history
    publish_head      the part of the publish command that all messages of the room share; the publisher's
    idle_due_s        when the room, without members, is given up; the hub's
    heard_s           when its channel last brought something else than the next message (monotonic); 0 before
    outgoing          what is written to live members, and when
    echo              the measurement of a message on its way back, the publisher's
    """

    __slots__ = (
        "_start_resync", "changes", "channel", "channel_epoch", "detector", "echo", "epoch", "epoch_bytes", "heard_s",
        "idle_due_s", "is_following", "joining", "last_data", "members", "name", "name_json", "origin", "outgoing",
        "publish_head", "reading", "seq",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        channel: bytes,
        start_resync: StartResync,
        clock: Callable[[], float] = time.monotonic,
        open_window: OpenWindow | None = None,
    ) -> None:
        self.name = name
        self.name_json = b"%b" % orjson.dumps(name)  # a copy: what orjson returns holds a buffer of 4 KB
        self.channel = channel
        self.seq = 0
        self.enter("", "")
        self.last_data: bytes | None = None
        self.members: dict[str, Member[Room]] = {}
        self.joining, self.is_following = 0, True
        self.publish_head: bytes | None = None
        self.echo: HearsRoom | None = None
        self.idle_due_s = self.heard_s = 0.0
        self.outgoing = Outgoing(self.members, partial(open_window, self) if open_window else None)
        self.changes, self.reading = Changes(), Reading()
        self.detector = LossDetector(self.name_json, clock)
        self._start_resync = start_resync

    @property
    def position(self) -> Position:
        """That of the last message that live members got; no epoch before the first snapshot."""
        return Position(self.epoch, self.seq)

    @property
    def observed(self) -> Observed:
        """What a publish tells Redis of the room."""
        return self.detector.observed(self.position)

    @property
    def is_idle(self) -> bool:
        """Whether nobody here needs this room."""
        return not self.members and not self.joining and not self.reading.waiting

    # -- members

    def add(self, member: Member[Room]) -> None:
        """Makes a member live from the present position on."""
        self.outgoing.enters(member)
        member.go_live(self.outgoing.traffic)
        self.members[member.session] = member

    def hold(self, member: Member[Room], position: Position | None) -> None:
        """A member that has all up to this position (None: nothing yet) gets nothing live until it is brought up."""
        self._stop(member, MemberState.LAGGING, position)
        self.members[member.session] = member

    def take_answers(self, member: Member[Room]) -> list[bytes]:
        """The answers to joins that waited for the history."""
        answers, member.answers = member.answers, ()
        return [answer.packet(self.name_json, self.position) for answer in answers]

    def remove(self, member: Member[Room]) -> None:
        """Forgets a member; its joins are answered, if the history was still on its way."""
        if packets := self.take_answers(member):
            member.socket.send_texts(packets)
        self._forget(member)

    def _forget(self, member: Member[Room]) -> None:
        self._stop(member, MemberState.OUTSIDE, member.position)
        if self.members.get(member.session) is member:
            del self.members[member.session]

    def _stop(self, member: Member[Room], state: MemberState, position: Position | None) -> None:
        self.outgoing.settle(member)
        member.stop(state, self.outgoing.traffic, position)

    def pause(self, member: Member[Room]) -> None:
        """A member reads slowly: it gets nothing live until it has been brought up again."""
        if member.state is MemberState.LIVE:
            self._stop(member, MemberState.LAGGING, self.position)
            member.changes = self.changes.number

    def resume(self, member: Member[Room]) -> None:
        """A member that lagged has read all: the next snapshot brings it up by its own position."""
        if member.state is MemberState.LAGGING:
            self.request()

    def begin_rejoin(self, member: Member[Room]) -> None:
        """A member joins again: it gets nothing until `add`, or until that failed and `abandon_rejoin` is called."""
        self.pause(member)
        position = member.position
        self._forget(member)
        member.state, member.position = MemberState.REJOINING, position

    def abandon_rejoin(self, member: Member[Room]) -> None:
        """Joining again failed: the member is brought up by the position that it had."""
        self.hold(member, member.position)
        self.request_again()

    def refresh_targets(self) -> None:
        """A member writes in another way."""
        self.outgoing.changed()

    # -- live messages

    def receive(self, payloads: Sequence[bytes]) -> None:
        """Takes what the room's channel brought, in order. A payload of a form that `payloads.py` does not know is
        somebody else's: it is left out, and changes nothing for those beside it."""
        packets: list[bytes] = []
        beside: list[Beside] = []
        for payload in payloads:
            head, _, data = payload.partition(b" ")
            is_next = self.is_following and head == b"%b:%d" % (self.channel_epoch, self.seq + 1)
            if is_next and payload[-1] == ENDS and data[0] == BEGINS and (data.isascii() or is_utf_8(data)):
                self.seq, self.last_data = self.seq + 1, data
                packets.append(RECEIVE + data + b"]")
                continue
            self.heard_s = time.monotonic()
            known = parse_payload(head, data)
            if isinstance(known, Told):
                self._note(known.change)
                beside.append((len(packets), known.except_session))
                packets.append(event_packet(known.event, data))
                continue
            if known is None:
                malformed.add(not head.startswith(TRACED))  # that is for whoever traces
                continue
            self._write(packets, beside)
            packets, beside = [], []
            self._receive_another(known, data)
        self._write(packets, beside)

    def _receive_another(self, known: Arrived, data: bytes) -> None:
        if data:  # neither the message that follows the position nor an event beside the messages
            self._unexpected(known, data)
        elif known.epoch != self.epoch or known.seq > self.seq:
            self.request_again()  # another worker tells where the room is, because Redis had lost something of it

    def _write(self, packets: list[bytes], beside: list[Beside]) -> None:
        """Writes what came in one turn to the live members."""
        if beside:
            self.outgoing.leave(Batch(packets, beside))
        elif packets:
            self.outgoing.messages(packets, not self.seq % MEASURED_IN)

    def _note(self, change: ChangeTold | None) -> None:
        if change is not None and not self.changes.take(change, self.position, self.is_following):
            self.request_again()  # its message may be on its way as it was before: the next reading says so again

    def deliver(self, seq: int, data: bytes) -> None:
        """Writes the message that follows the position."""
        self.seq, self.last_data = seq, data
        self.reading.follow(self.position, data)
        self.outgoing.messages([RECEIVE + data + b"]"], False)

    def move_to(self, snapshot: Snapshot) -> None:
        """Takes over the position of a snapshot."""
        if snapshot.epoch != self.epoch:
            self.publish_head = None  # its spare epoch may be the one that was taken
        self.enter(snapshot.epoch, self.origin)
        self.seq = snapshot.seq
        newest = snapshot.entry_at(snapshot.seq)
        self.last_data = None
        # A change that a failover loses shows the message as it was before: the same one.
        if newest is not None and snapshot.seq not in snapshot.changes:
            self.last_data = receive_json(newest, self.name_json, snapshot.position)

    def enter(self, epoch: str, origin: str) -> None:
        """What this server numbers in this epoch follows from now on."""
        self.epoch, self.epoch_bytes, self.origin = epoch, epoch.encode(), origin
        self.channel_epoch = channel_epoch(epoch, origin)

    def _unexpected(self, arrived: Arrived, data: bytes) -> None:
        """A message that does not follow the position, or comes while the room does not follow."""
        reading = self.reading
        if reading.is_refused and not reading.is_open:
            self.request()  # that it comes shows that somebody could store it
        if not reading.is_unsure and arrived.is_from_elsewhere(self.origin):
            self.request_again()
            return
        if reading.was_delivered_before_loss(arrived.epoch, arrived.seq):
            reading.keep(arrived, data)
            self.detector.renumbered(arrived.epoch)
            self.request_again()
            return
        arrival = judge(self.position, arrived.epoch, arrived.seq)
        if reading.is_unsure:
            reading.keep(arrived, data)  # the number may be another message's: the snapshot will show it
        elif arrival is Arrival.NEXT:
            self.deliver(arrived.seq, data)
        elif arrival is Arrival.HOLE and reading.is_open:
            reading.keep(arrived, data)
        elif arrival is Arrival.HOLE:
            self._missing()

    def _missing(self) -> None:
        """A message came, and something before it did not."""
        if self.is_idle:
            self.enter("", self.origin)  # nobody misses it; the next join begins anew
        else:
            holes.add(1)
            self.request()

    # -- reading

    def with_snapshot(self, on_snapshot: OnSnapshot, position: Position | None = None) -> None:
        """For who has all up to `position`, or None of it: calls `on_snapshot` with a snapshot that was asked for after
        this moment or, shared, shortly before it: `reading.packets_after` has what live members got since then."""
        self.reading.waiting.append(Waiting(on_snapshot, position))
        self.request()

    def request(self) -> None:
        """Asks for a snapshot unless one is under way."""
        if not self.reading.is_open:
            self.reading.begin(self.position, self.last_data)
            self.follow_if_possible()
            self._start_resync(self)

    def request_again(self) -> None:
        """Asks for a snapshot from now on: the channel, or Redis, was away. Others may have to be told what was seen
        here, though nobody is in the room any more."""
        if self.reading.is_open:
            self.reading.must_repeat = True
        elif not self.is_idle or self.detector.has_observations:
            self.request()

    def channel_lost(self) -> None:
        """The channel is gone. If it brings a number again that was given by now, Redis has lost data."""
        self.reading.before_loss = self.position

    def server_left(self, last_heard_s: float) -> None:
        """Failover: commands or channel left a server, last heard at `last_heard_s`. The caller asks for a snapshot."""
        self.detector.server_left(self.position, self.last_data, last_heard_s)
        self.reading.is_unsure = bool(self.epoch)
        self.reading.failovers += 1
        self.follow_if_possible()

    def follow_if_possible(self) -> None:
        """Messages are written at once unless the history is being read or the position is not confirmed."""
        reading = self.reading
        self.is_following = not (reading.is_open or reading.is_unsure or reading.is_refused)
