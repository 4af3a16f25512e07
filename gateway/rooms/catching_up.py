"""Bringing one member to where its room is: what it lacks, oldest first, in pieces that it takes.

A member may lack more than its socket may hold unsent: 100 messages of 4,096 emoji are 1.6 MB. So a piece is written,
and the next one when the socket has room. A socket that is behind gets nothing: the member lags at the last message
that was written, and goes on from there once it has read (`Room.resume`). Nothing is kept for it meanwhile. Live
messages follow when it has all.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.metrics import written_bytes
from gateway.protocol import Position
from gateway.rooms.member import Member, MemberState
from gateway.rooms.replays import Replay
from gateway.rooms.room import Room
from gateway.websocket.frames import text_frame

PIECE_BYTES = 32_768
"""A piece is about as large, or one message: it fits between the mark from which a socket is behind and the most that
it may hold, with room for the live messages of other rooms."""


def catch_up(
    room: Room,
    member: Member[Room],
    position: Position | None,
    first: Sequence[bytes],
    missed: Sequence[tuple[int, bytes]],
    changes: Sequence[tuple[int, bytes]] = (),
) -> None:
    """Writes the packets of `missed`, given with their seqs, to a member that has all up to `position` (None: nothing
    yet), behind the packets of `first` and those of `changes`, given with their numbers. The member is live once it has
    all, and lags otherwise."""
    room.hold(member, position)
    socket = member.socket
    if socket.is_behind:
        return
    piece, piece_bytes, change, seq = list(first), 0, member.changes, 0
    for place, (number, packet) in enumerate([*changes, *missed], 1 - len(changes)):
        if piece_bytes and piece_bytes + len(packet) > PIECE_BYTES:
            member.position, member.changes = Position(room.epoch, seq) if seq else position, change
            member.count(len(piece), piece_bytes)
            socket.send_texts(piece)
            if socket.is_behind or member.state is not MemberState.LAGGING:
                return
            piece, piece_bytes = [], 0
        piece.append(packet)
        piece_bytes += len(packet)
        if place > 0:
            seq = number
        else:
            change = number
    member.count(len(piece), piece_bytes)
    room.add(member)
    piece += room.take_answers(member)
    if piece:
        socket.send_texts(piece)


def catch_up_at_once(room: Room, member: Member[Room], position: Position | None, replay: Replay) -> bool:
    """The same where nothing but a replay is lacking: its frames are written as they are to whoever takes such. Does
    nothing and returns False where it is more than one piece."""
    if replay.size_bytes > PIECE_BYTES:
        return False
    room.hold(member, position)
    socket = member.socket
    if socket.is_behind:
        return True
    member.count(len(replay.numbered), replay.size_bytes)
    room.add(member)
    answers = room.take_answers(member)
    if (write := socket.direct_write) is None:
        packets = [packet for _, packet in replay.numbered]
        if packets or answers:
            socket.send_texts(packets + answers)
    elif data := replay.frames + b"".join(map(text_frame, answers)):
        written_bytes.value += len(data)
        write(data)
    return True
