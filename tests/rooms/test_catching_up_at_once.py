"""Those who lack the same history get the same bytes, made once."""

from __future__ import annotations

import pytest

from gateway.metrics import replayed
from gateway.rooms.catching_up import PIECE_BYTES, catch_up, catch_up_at_once
from gateway.rooms.member import MemberState
from gateway.rooms.replays import JoinAnswer, Replays
from gateway.state.history import Snapshot
from gateway.websocket.frames import text_frame
from tests.support.recorder import Recorder, member_of
from tests.support.room_by_hand import RoomByHand

ENTRIES = [b'{"username":"ann","message":"%d","timestamp":1}' % seq for seq in range(100)]


def snapshot_of(entries: list[bytes]) -> Snapshot:
    return Snapshot("a", len(entries), entries)


@pytest.mark.parametrize("is_direct", [True, False])
def test_it_writes_what_packets_one_by_one_would(is_direct: bool) -> None:
    room, snapshot = RoomByHand().room, snapshot_of(ENTRIES)
    replay = Replays().of(room.name_json, snapshot.after(0), snapshot)
    seen = []
    for at_once in (True, False):
        recorder = Recorder(is_direct)
        member = member_of(room, recorder, f"session {at_once}")
        member.answers = [JoinAnswer(0, 2, None)]
        if at_once:
            assert catch_up_at_once(room, member, None, replay)
        else:
            catch_up(room, member, None, (), replay.numbered)
        assert (member.state, member.received, recorder.writes) == (MemberState.LIVE, 100, 1)
        assert member.received_bytes == replay.size_bytes
        seen.append(recorder.packets)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 101


def test_those_who_join_together_share_the_bytes() -> None:
    replays, snapshot, before = Replays(), snapshot_of(ENTRIES), replayed.value
    first = replays.of(b'"tea"', snapshot.after(0), snapshot)
    assert replays.of(b'"tea"', snapshot.after(0), snapshot) is first
    assert first.frames is first.frames
    later = replays.of(b'"tea"', snapshot.after(98), snapshot)
    assert [packet for _, packet in later.numbered] == [packet for _, packet in first.numbered[98:]]
    assert later.numbered[0][1] is first.numbered[98][1]
    assert later.frames == b"".join(text_frame(packet) for _, packet in later.numbered)
    assert replayed.value - before == 202


def test_more_than_a_piece_is_left_to_pieces() -> None:
    room, snapshot = RoomByHand().room, snapshot_of([b'{"message":"%b"}' % (b"x" * PIECE_BYTES)] * 2)
    recorder = Recorder()
    member = member_of(room, recorder, "session")
    replay = Replays().of(room.name_json, snapshot.after(0), snapshot)
    assert not catch_up_at_once(room, member, None, replay)
    assert (member.state, recorder.writes, room.members) == (MemberState.OUTSIDE, 0, {})


def test_one_that_is_behind_lags_and_gets_nothing() -> None:
    room, snapshot = RoomByHand().room, snapshot_of(ENTRIES)
    recorder = Recorder()
    recorder.is_behind = True
    member = member_of(room, recorder, "session")
    assert catch_up_at_once(room, member, None, Replays().of(room.name_json, snapshot.after(0), snapshot))
    assert (member.state, recorder.writes) == (MemberState.LAGGING, 0)
