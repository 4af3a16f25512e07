"""Joining, coming back and falling behind: history and live without a seam, each member by its own position."""

from __future__ import annotations

from gateway.delivery.feed import Feed
from gateway.delivery.membership import Membership
from gateway.delivery.positions import since
from gateway.delivery.replays import history_packets
from gateway.protocol import Position
from gateway.state.history import Snapshot
from gateway.state.link import StoreError, StoreUnavailable
from tests.delivery.recorder import Recorder, live_member, member_of
from tests.delivery.test_feed import Room, stored


def join(feed: Feed, session: str, position: Position | None = None) -> tuple[Recorder, list[StoreError]]:
    """A member that joins as the chat does it: the snapshot, what came after it, live."""
    recorder, errors = Recorder(), []
    member = member_of(feed, recorder, session)

    def with_snapshot(snapshot: Snapshot | StoreError) -> None:
        if isinstance(snapshot, StoreError):
            errors.append(snapshot)
            return
        entries, _ = since(position, snapshot)
        packets = history_packets(feed.room_json, entries, snapshot.epoch) + feed.packets_after(snapshot.seq)
        feed.add(member)
        recorder.send_texts(packets)

    feed.with_snapshot(with_snapshot)
    return recorder, errors


def behind(room: Room, mark: int = 2) -> tuple[Membership, Recorder]:
    """A member that has fallen behind at position 3."""
    member, ann = live_member(room.feed, mark=mark)
    room.hears(1, 2, 3)
    assert (ann.is_behind, member.is_live, member.position) == (True, False, Position("a", 3))
    return member, ann


def test_history_and_live_join_without_a_seam() -> None:
    room = Room()
    ann, _ = join(room.feed, "s1")
    room.hears(3, 4)  # 3 is in the snapshot, 4 came after it
    room.feed.snapshot_came(stored(3))
    room.hears(5)
    assert (ann.texts(), room.reads) == (["a1", "a2", "a3", "a4", "a5"], 1)


def test_joins_that_arrive_together_share_one_snapshot() -> None:
    room = Room()
    everybody = [join(room.feed, f"s{number}")[0] for number in range(50)]
    room.hears(2)
    late = join(room.feed, "late")[0]
    room.feed.snapshot_came(stored(1))
    room.hears(3)
    assert [one.texts() for one in (*everybody, late)] == [["a1", "a2", "a3"]] * 51
    assert room.reads == 1


def test_a_snapshot_older_than_the_last_live_message_is_filled_from_the_channel() -> None:
    room = Room().at(5)
    _, ann = live_member(room.feed)
    ben, _ = join(room.feed, "s2")
    room.hears(6, 7, 8)
    room.feed.snapshot_came(stored(6))
    assert ann.texts() == ["a6", "a7", "a8"]
    assert ben.texts() == [f"a{number}" for number in range(1, 9)]


def test_a_join_during_a_hole_gets_what_was_missed_once() -> None:
    room = Room().at(5)
    _, ann = live_member(room.feed)
    room.hears(8)
    ben, _ = join(room.feed, "s2", Position("a", 5))
    room.hears(9)
    room.feed.snapshot_came(stored(8))
    assert (ann.texts(), ben.texts(), room.reads) == (["a6", "a7", "a8", "a9"], ["a6", "a7", "a8", "a9"], 1)


def test_a_snapshot_that_failed_is_told_to_all_who_waited() -> None:
    room = Room()
    waiting = [join(room.feed, f"s{number}") for number in range(3)]
    room.feed.snapshot_came(StoreUnavailable("away"))
    assert [len(errors) for _, errors in waiting] == [1, 1, 1]
    assert room.feed.is_idle


def test_a_member_that_is_behind_gets_nothing_until_it_has_drained() -> None:
    room = Room().at(0)
    _, ann = behind(room)
    room.hears(4, 5)
    assert (ann.texts(), room.reads) == (["a1", "a2", "a3"], 0)
    ann.drain()
    room.hears(6)
    room.feed.snapshot_came(stored(5))
    assert (ann.texts(), room.reads) == (["a1", "a2", "a3", "a4", "a5", "a6"], 1)


def test_a_member_that_is_still_behind_is_left_alone_by_others_snapshots() -> None:
    room = Room().at(0)
    member, ann = behind(room)
    join(room.feed, "s2")
    room.feed.snapshot_came(stored(4))
    assert (ann.texts(), member.is_live) == (["a1", "a2", "a3"], False)


def test_one_that_fell_behind_while_a_snapshot_was_under_way_gets_no_double() -> None:
    room = Room().at(0)
    member, ann = live_member(room.feed, mark=2)
    room.feed.start_reading()
    room.hears(1, 2)
    room.hears(3)
    assert member.position == Position("a", 3)
    ann.drain()
    room.hears(4)
    room.feed.snapshot_came(stored(1))
    assert ann.texts() == ["a1", "a2", "a3", "a4"]


def test_one_that_was_behind_too_long_is_told_of_its_own_gap() -> None:
    room = Room().at(0)
    _, ann = behind(room)
    _, ben = live_member(room.feed, "s2")
    room.hears(4, 5, 6, 7)
    ann.drain()
    room.feed.snapshot_came(stored(7, count=2))
    assert (ann.texts(), ben.texts()) == (["a1", "a2", "a3", "GAP", "a6", "a7"], ["a4", "a5", "a6", "a7"])
    assert ann.seen()[3].position == Position("a", 3)


def test_bringing_up_may_put_a_member_behind_again() -> None:
    room = Room().at(0)
    member, ann = behind(room)
    room.hears(4, 5, 6, 7)
    ann.drain()
    room.feed.snapshot_came(stored(7))
    assert (ann.is_behind, member.position) == (True, Position("a", 7))
    room.hears(8)
    ann.drain()
    room.feed.snapshot_came(stored(8))
    assert ann.texts() == [f"a{number}" for number in range(1, 9)]


def test_a_parked_member_gets_nothing_and_is_brought_up_when_put_back() -> None:
    room = Room().at(1)
    member, ann = live_member(room.feed)
    room.hears(2)
    room.feed.park(member)
    room.hears(3, 4)
    assert ann.texts() == ["a2"]
    room.feed.put_back(member)
    room.hears(5)
    room.feed.snapshot_came(stored(5))
    assert ann.texts() == ["a2", "a3", "a4", "a5"]


def test_one_put_back_during_a_read_is_brought_up_by_that_read() -> None:
    room = Room().at(1)
    member, ann = live_member(room.feed)
    _, ben = live_member(room.feed, "s2")
    room.feed.park(member)
    room.hears(2)
    room.feed.start_reading()
    room.feed.put_back(member)
    room.hears(3)
    room.feed.snapshot_came(stored(2))
    room.feed.snapshot_came(stored(3))
    assert (ann.texts(), ben.texts()) == (["a2", "a3"], ["a2", "a3"])


def test_one_parked_while_behind_keeps_its_own_position() -> None:
    room = Room().at(0)
    member, ann = behind(room)
    room.hears(4)
    room.feed.park(member)
    assert member.position == Position("a", 3)
    ann.drain()
    assert room.reads == 0, "it is no member meanwhile"
    room.feed.put_back(member)
    room.feed.snapshot_came(stored(4))
    assert ann.texts() == ["a1", "a2", "a3", "a4"]


def test_one_put_back_with_a_full_socket_waits_until_it_has_drained() -> None:
    room = Room().at(0)
    member, ann = behind(room)
    room.feed.park(member)
    room.feed.put_back(member)
    room.hears(4)
    room.feed.snapshot_came(stored(4))
    assert ann.texts() == ["a1", "a2", "a3"]
    ann.drain()
    room.feed.snapshot_came(stored(4))
    assert ann.texts() == ["a1", "a2", "a3", "a4"]


def test_the_buffer_is_empty_when_no_snapshot_is_under_way() -> None:
    room = Room().at(0)
    live_member(room.feed)
    room.feed.start_reading()
    room.hears(1, 2)
    assert len(room.feed.packets_after(0)) == 2
    room.feed.snapshot_came(stored(2))
    assert room.feed.packets_after(0) == []
