"""Joining, coming back and falling behind: history and live without a seam, each member by its own position."""

from __future__ import annotations

from gateway.errors import StoreError, StoreUnavailable
from gateway.protocol import Position
from gateway.rooms.member import Member, MemberState
from gateway.rooms.position_check import since
from gateway.rooms.replays import history_packets
from gateway.rooms.room import Room
from gateway.state.history import Snapshot
from tests.support.recorder import Recorder, live_member, member_of
from tests.support.room_by_hand import RoomByHand, stored


def join(room: Room, session: str, position: Position | None = None) -> tuple[Recorder, list[StoreError]]:
    """A member that joins as the chat does it: the snapshot, what came after it, live."""
    recorder, errors = Recorder(), []
    member = member_of(room, recorder, session)

    def with_snapshot(snapshot: Snapshot | StoreError) -> None:
        if isinstance(snapshot, StoreError):
            errors.append(snapshot)
            return
        entries, _ = since(position, snapshot)
        packets = history_packets(room.name_json, entries, snapshot)
        packets += [packet for _, packet in room.reading.packets_after(snapshot.position)]
        room.add(member)
        recorder.send_texts(packets)

    room.with_snapshot(with_snapshot)
    return recorder, errors


def behind(hand: RoomByHand, mark: int = 2) -> tuple[Member[Room], Recorder]:
    """A member that has fallen behind at position 3."""
    member, ann = live_member(hand.room, mark=mark)
    hand.hears(1, 2, 3)
    assert (ann.is_behind, member.state, member.position) == (True, MemberState.LAGGING, Position("a", 3))
    return member, ann


def test_history_and_live_join_without_a_seam() -> None:
    hand = RoomByHand()
    ann, _ = join(hand.room, "s1")
    hand.hears(3, 4)  # 3 is in the snapshot, 4 came after it
    hand.comes(stored(3))
    hand.hears(5)
    assert (ann.texts(), hand.reads) == (["a1", "a2", "a3", "a4", "a5"], 1)


def test_joins_that_arrive_together_share_one_snapshot() -> None:
    hand = RoomByHand()
    everybody = [join(hand.room, f"s{number}")[0] for number in range(50)]
    hand.hears(2)
    late = join(hand.room, "late")[0]
    hand.comes(stored(1))
    hand.hears(3)
    assert [one.texts() for one in (*everybody, late)] == [["a1", "a2", "a3"]] * 51
    assert hand.reads == 1


def test_a_snapshot_older_than_the_last_live_message_is_filled_from_the_channel() -> None:
    hand = RoomByHand().at(5)
    _, ann = live_member(hand.room)
    ben, _ = join(hand.room, "s2")
    hand.hears(6, 7, 8)
    hand.comes(stored(6))
    assert ann.texts() == ["a6", "a7", "a8"]
    assert ben.texts() == [f"a{number}" for number in range(1, 9)]


def test_a_join_during_a_hole_gets_what_was_missed_once() -> None:
    hand = RoomByHand().at(5)
    _, ann = live_member(hand.room)
    hand.hears(8)
    ben, _ = join(hand.room, "s2", Position("a", 5))
    hand.hears(9)
    hand.comes(stored(8))
    assert (ann.texts(), ben.texts(), hand.reads) == (["a6", "a7", "a8", "a9"], ["a6", "a7", "a8", "a9"], 1)


def test_a_snapshot_that_failed_is_told_to_all_who_waited() -> None:
    hand = RoomByHand()
    waiting = [join(hand.room, f"s{number}") for number in range(3)]
    hand.comes(StoreUnavailable("away"))
    assert [len(errors) for _, errors in waiting] == [1, 1, 1]
    assert hand.room.is_idle


def test_a_member_that_is_behind_gets_nothing_until_it_has_drained() -> None:
    hand = RoomByHand().at(0)
    _, ann = behind(hand)
    hand.hears(4, 5)
    assert (ann.texts(), hand.reads) == (["a1", "a2", "a3"], 0)
    ann.drain()
    hand.hears(6)
    hand.comes(stored(5))
    assert (ann.texts(), hand.reads) == (["a1", "a2", "a3", "a4", "a5", "a6"], 1)


def test_a_member_that_is_still_behind_is_left_alone_by_others_snapshots() -> None:
    hand = RoomByHand().at(0)
    member, ann = behind(hand)
    join(hand.room, "s2")
    hand.comes(stored(4))
    assert (ann.texts(), member.state) == (["a1", "a2", "a3"], MemberState.LAGGING)


def test_one_that_fell_behind_while_a_snapshot_was_under_way_gets_no_double() -> None:
    hand = RoomByHand().at(0)
    member, ann = live_member(hand.room, mark=2)
    hand.room.request()
    hand.hears(1, 2)
    hand.hears(3)
    assert member.position == Position("a", 3)
    ann.drain()
    hand.hears(4)
    hand.comes(stored(1))
    assert ann.texts() == ["a1", "a2", "a3", "a4"]


def test_one_that_was_behind_too_long_is_told_of_its_own_gap() -> None:
    hand = RoomByHand().at(0)
    _, ann = behind(hand)
    _, ben = live_member(hand.room, "s2")
    hand.hears(4, 5, 6, 7)
    ann.drain()
    hand.comes(stored(7, count=2))
    assert (ann.texts(), ben.texts()) == (["a1", "a2", "a3", "GAP", "a6", "a7"], ["a4", "a5", "a6", "a7"])
    assert ann.seen()[3].position == Position("a", 3)


def test_bringing_up_may_put_a_member_behind_again() -> None:
    hand = RoomByHand().at(0)
    member, ann = behind(hand)
    hand.hears(4, 5, 6, 7)
    ann.drain()
    hand.comes(stored(7))
    assert (ann.is_behind, member.position) == (True, Position("a", 7))
    hand.hears(8)
    ann.drain()
    hand.comes(stored(8))
    assert ann.texts() == [f"a{number}" for number in range(1, 9)]


def test_a_parked_member_gets_nothing_and_is_brought_up_when_put_back() -> None:
    hand = RoomByHand().at(1)
    member, ann = live_member(hand.room)
    hand.hears(2)
    hand.room.begin_rejoin(member)
    hand.hears(3, 4)
    assert ann.texts() == ["a2"]
    hand.room.abandon_rejoin(member)
    hand.hears(5)
    hand.comes(stored(5))
    assert ann.texts() == ["a2", "a3", "a4", "a5"]


def test_one_put_back_during_a_read_is_brought_up_by_that_read() -> None:
    hand = RoomByHand().at(1)
    member, ann = live_member(hand.room)
    _, ben = live_member(hand.room, "s2")
    hand.room.begin_rejoin(member)
    hand.hears(2)
    hand.room.request()
    hand.room.abandon_rejoin(member)
    hand.hears(3)
    hand.comes(stored(2))
    hand.comes(stored(3))
    assert (ann.texts(), ben.texts()) == (["a2", "a3"], ["a2", "a3"])


def test_one_parked_while_behind_keeps_its_own_position() -> None:
    hand = RoomByHand().at(0)
    member, ann = behind(hand)
    hand.hears(4)
    hand.room.begin_rejoin(member)
    assert member.position == Position("a", 3)
    ann.drain()
    assert hand.reads == 0, "it is no member meanwhile"
    hand.room.abandon_rejoin(member)
    hand.comes(stored(4))
    assert ann.texts() == ["a1", "a2", "a3", "a4"]


def test_one_put_back_with_a_full_socket_waits_until_it_has_drained() -> None:
    hand = RoomByHand().at(0)
    member, ann = behind(hand)
    hand.room.begin_rejoin(member)
    hand.room.abandon_rejoin(member)
    hand.hears(4)
    hand.comes(stored(4))
    assert ann.texts() == ["a1", "a2", "a3"]
    ann.drain()
    hand.comes(stored(4))
    assert ann.texts() == ["a1", "a2", "a3", "a4"]


def test_the_buffer_is_empty_when_no_snapshot_is_under_way() -> None:
    hand = RoomByHand().at(0)
    live_member(hand.room)
    hand.room.request()
    hand.hears(1, 2)
    assert len(hand.room.reading.packets_after(Position("a", 0))) == 2
    hand.comes(stored(2))
    assert hand.room.reading.packets_after(Position("a", 0)) == []
