"""A session's socket that keeps what is sent to it: all that a room needs of it (`interfaces.Recipient`).

Owns how full it is: over `mark` unsent packets it counts as behind and says so, as a connection does whose peer
reads slowly. Nothing is sent anywhere.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.protocol import Position
from gateway.rooms.member import Member
from gateway.rooms.room import Room
from gateway.websocket.frames import text_frame

MARK = 1_000_000
"""Unsent packets over which a recorder counts as behind: more than any test sends."""


class Received(NamedTuple):
    """One packet as its reader understands it: a stored message, a notice, a gap, a change or another event."""

    kind: str
    position: Position | None
    text: str


class Recorder:
    """Takes frames directly (`is_direct`, as an open WebSocket does) or packets (as polling does)."""

    def __init__(self, is_direct: bool = True, mark: int = MARK) -> None:
        self.packets: list[bytes] = []
        self.writes = 0
        self.is_direct = is_direct
        self.is_behind = False
        self.sid = "recorder"
        self.on_behind: Callable[[], None] = lambda: None
        self.on_drained: Callable[[], None] = lambda: None
        self._mark, self._unsent = mark, 0

    @property
    def direct_write(self) -> Callable[[bytes], None] | None:
        """Takes ready frames, if this is a direct one."""
        return self._write_frames if self.is_direct else None

    @property
    def direct_write_deflated(self) -> Callable[[bytes], None] | None:
        """No compression was agreed."""
        return None

    def send_text(self, packet: bytes) -> None:
        """Takes one packet."""
        self.send_texts((packet,))

    def send_texts(self, packets: Sequence[bytes]) -> None:
        """Takes packets in one write."""
        self.writes += 1
        self.packets += packets
        self._unsent += len(packets)
        if self._unsent > self._mark and not self.is_behind:
            self.is_behind = True
            self.on_behind()

    def drain(self) -> None:
        """The peer has read everything."""
        self._unsent = 0
        if self.is_behind:
            self.is_behind = False
            self.on_drained()

    def seen(self) -> list[Received]:
        """All that came, as its reader understands it."""
        return [_understood(packet) for packet in self.packets]

    def texts(self) -> list[str]:
        """The texts of the messages that came; `GAP` where one was announced."""
        return ["GAP" if one.kind == "gap" else one.text for one in self.seen()]

    def _write_frames(self, data: bytes) -> None:
        self.send_texts(_unframed(data))


def member_of(room: Room, recorder: Recorder, session: str = "s1", username: str = "ann") -> Member[Room]:
    """A membership whose socket is the recorder, held back and brought up as a session does it."""
    member = Member(room, session, recorder, username)
    recorder.on_behind = lambda: room.pause(member)
    recorder.on_drained = lambda: room.resume(member)
    return member


def live_member(
    room: Room, session: str = "s1", is_direct: bool = True, mark: int = MARK
) -> tuple[Member[Room], Recorder]:
    """A member that is live from the room's present position on, and what it sees."""
    recorder = Recorder(is_direct, mark)
    member = member_of(room, recorder, session)
    room.add(member)
    return member, recorder


def _unframed(data: bytes) -> list[bytes]:
    """The packets of server frames; fails for anything that `text_frame` would not have made."""
    packets, at = [], 0
    while at < len(data):
        length, start = data[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
        elif length == 127:
            length, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
        packet = data[start : start + length]
        assert data[at : start + length] == text_frame(packet)
        packets.append(packet)
        at = start + length
    return packets


@functools.lru_cache(1000)
def _understood(packet: bytes) -> Received:
    assert (packet[:3], packet[-1:]) == (b"42[", b"]"), packet
    name, data = json.loads(packet[2:])
    if name == "error":
        where = data.get("id")
        return Received(data["code"], Position.parse(where) if where else None, data["message"])
    where = data.get("id")
    if name == "changed":
        return Received("changed", Position.parse(where), data["message"])
    return Received(
        "stored" if where else "notice", Position.parse(where) if where else None, data["message"]
    )
