"""One room on one worker: the position check at work, and joins without a seam. Snapshots are answered by hand."""

from __future__ import annotations

import pytest

from gateway.errors import StoreUnavailable
from gateway.metrics import holes
from gateway.protocol import Position
from gateway.rooms.member import MemberState
from gateway.rooms.payloads import EVENTS_TOLD, told_head
from gateway.state.history import Observed
from tests.support.recorder import Recorder, live_member, member_of
from tests.support.room_by_hand import RoomByHand, live, stored, text


def test_messages_in_a_row_are_delivered_in_one_write() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.hears(3, 4, 5)
    assert (ann.texts(), ann.writes, hand.reads) == (["a3", "a4", "a5"], 1, 0)
    assert hand.room.position == Position("a", 5)


def test_what_was_seen_is_dropped() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.hears(1, 2, 3, 3, 4)
    assert ann.texts() == ["a3", "a4"]


def test_a_hole_makes_one_read_for_all_and_is_filled_in_order() -> None:
    hand = RoomByHand().at(2)
    before = holes.value
    members = [live_member(hand.room, f"s{number}")[1] for number in range(3)]
    hand.hears(3, 6, 7)
    assert [one.texts() for one in members] == [["a3"]] * 3
    hand.hears(8)
    hand.comes(stored(6))
    assert [one.texts() for one in members] == [["a3", "a4", "a5", "a6", "a7", "a8"]] * 3
    assert (hand.reads, holes.value - before) == (1, 1)
    assert {one.seen()[-1].position for one in members} == {Position("a", 8)}


def test_messages_that_follow_go_on_while_a_snapshot_is_under_way() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.request()
    hand.hears(3)
    assert ann.texts() == ["a3"]
    hand.comes(stored(4))
    assert ann.texts() == ["a3", "a4"]


def test_a_hole_that_the_snapshot_does_not_reach_is_read_again() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.hears(4)
    hand.hears(9)
    hand.comes(stored(4))
    assert (ann.texts(), hand.reads) == (["a3", "a4"], 2)
    hand.comes(stored(9))
    assert (ann.texts(), hand.reads) == (["a3", "a4", "a5", "a6", "a7", "a8", "a9"], 2)


def test_what_is_no_longer_there_is_announced_and_the_last_ones_follow() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.hears(3, 9)
    hand.comes(stored(9, count=3))
    assert ann.texts() == ["a3", "GAP", "a7", "a8", "a9"]
    assert ann.seen()[1].position == Position("a", 3)
    hand.hears(10)
    assert ann.texts()[-1] == "a10"


def test_more_messages_during_a_read_than_the_history_holds_are_no_gap() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.request()
    hand.hears(3, 4, 5, 6, 7)
    hand.comes(stored(8, count=2))
    hand.room.request()
    hand.hears(9, 10, 11, 12)
    hand.comes(stored(11, count=2))
    assert ann.texts() == [f"a{number}" for number in range(3, 13)]


def test_a_new_epoch_is_announced_with_the_last_position_that_held() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.hears(1, epoch="b")
    assert (ann.texts(), hand.reads) == ([], 1)
    hand.comes(stored(1, epoch="b"))
    assert ann.texts() == ["GAP", "b1"]
    assert ann.seen()[0].position == Position("a", 2)
    hand.hears(2, epoch="b")
    assert ann.texts() == ["GAP", "b1", "b2"]


def test_a_seq_that_went_back_is_announced() -> None:
    hand = RoomByHand().at(5)
    _, ann = live_member(hand.room)
    hand.room.request_again()
    hand.comes(stored(3))
    assert ann.texts() == ["GAP", "a1", "a2", "a3"]
    assert (ann.seen()[0].position, hand.room.position) == (Position("a", 3), Position("a", 3))


def test_a_number_that_the_channel_brings_again_after_its_loss_forces_a_new_epoch() -> None:
    hand = RoomByHand().at(5)
    _, ann = live_member(hand.room)
    hand.room.channel_lost()
    hand.hears(4)
    assert (hand.room.observed, hand.reads) == (Observed(Position("a", 5), True), 1)
    assert ann.texts() == []


def test_another_message_in_the_last_ones_place_forces_a_new_epoch() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.hears(3)
    hand.room.request_again()
    hand.comes(stored(6, mark="'"))
    assert (hand.room.observed, hand.reads) == (Observed(Position("a", 3), True), 2)
    assert ann.texts() == ["a3"]
    hand.comes(stored(6, epoch="b"))
    assert ann.texts() == ["a3", "GAP", *(f"b{number}" for number in range(1, 7))]
    assert hand.room.observed == Observed(Position("b", 6))


def test_what_was_acknowledged_at_a_server_that_was_left_is_looked_for_at_the_next() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.detector.acknowledged("a", 3, text(3, mark="'"))
    hand.room.server_left(0.0)
    hand.room.request_again()
    hand.comes(stored(4))
    assert (hand.room.observed[:2], hand.reads) == ((Position("a", 3), True), 2)
    hand.comes(stored(4, epoch="b"))
    assert ann.texts() == ["GAP", "b1", "b2", "b3", "b4"]


def test_a_server_is_told_what_was_seen_at_the_one_before_and_how_long_ago() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    assert hand.room.observed == Observed(Position("a", 2))
    hand.now_s = 30.0
    hand.room.server_left(28.5)
    hand.room.request_again()
    assert hand.asks() == Observed(Position("a", 2), age_ms=1500)
    hand.comes(StoreUnavailable("away"))
    hand.room.request_again()
    hand.now_s = 31.0
    assert hand.asks() == Observed(Position("a", 2), age_ms=2500)
    hand.comes(stored(3))
    assert (hand.room.observed, ann.texts()) == (Observed(Position("a", 3)), ["a3"])


def test_a_claim_stays_until_commands_and_channel_lead_to_the_same_server() -> None:
    hand = RoomByHand().at(2)
    live_member(hand.room)
    hand.room.server_left(0.0)
    hand.room.request()
    hand.asks()
    hand.comes(stored(3), is_settled=False)
    assert (hand.room.observed.age_ms, hand.reads) == (0, 1), "no need to ask the wrong server again"
    hand.room.request()
    hand.asks()
    hand.comes(stored(3), is_settled=True)
    assert (hand.room.observed.is_suspicious, hand.reads) == (False, 2)


def test_after_a_move_nothing_is_delivered_that_no_snapshot_has_confirmed() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.server_left(0.0)
    hand.hears(3)
    assert (ann.texts(), hand.room.position) == ([], Position("a", 2))
    hand.room.request_again()
    hand.asks()
    hand.hears(4)
    hand.comes(stored(3), is_settled=False)
    assert (ann.texts(), hand.room.reading.is_unsure) == (["a3"], True), "the channel leads elsewhere still"
    hand.room.request_again()
    hand.asks()
    hand.hears(5)
    hand.comes(stored(4), is_settled=True)
    hand.hears(6)
    assert ann.texts() == ["a3", "a4", "a5", "a6"]


def test_a_snapshot_that_was_asked_for_before_a_move_confirms_nothing() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.request_again()
    hand.asks()
    hand.room.server_left(0.0)
    hand.hears(3)
    hand.comes(stored(2), is_settled=True)
    assert (ann.texts(), hand.room.reading.is_unsure) == ([], True)


def test_claims_of_several_epochs_are_told_one_after_another() -> None:
    hand = RoomByHand().at(2)
    live_member(hand.room)
    hand.room.detector.acknowledged("z", 7, text(7, "z"))
    hand.room.server_left(0.0)
    hand.room.request()
    assert hand.asks().position == Position("a", 2)
    hand.comes(stored(2))
    assert hand.reads == 2
    assert hand.asks().position == Position("z", 7)
    hand.comes(stored(2))
    assert (hand.reads, hand.room.observed.is_suspicious) == (2, False)


def test_a_room_without_members_still_tells_what_it_has_seen() -> None:
    hand = RoomByHand().at(2)
    hand.room.server_left(0.0)
    hand.room.request_again()
    assert hand.reads == 1


def test_another_server_that_no_longer_shows_the_last_message_must_begin_a_new_epoch() -> None:
    hand = RoomByHand().at(2)
    live_member(hand.room)
    hand.room.request_again()
    hand.comes(stored(4, count=2))
    assert not hand.room.observed.is_suspicious, "the same server only trimmed it"
    hand.room.server_left(0.0)
    hand.room.request_again()
    hand.comes(stored(7, count=2))
    assert (hand.room.observed.is_contradicted, hand.reads) == (True, 3)


def test_a_position_that_another_worker_tells_is_read_unless_it_is_known() -> None:
    hand = RoomByHand().at(2)
    live_member(hand.room)
    hand.room.receive([b"a:2", b"a:1", b"nonsense", b"", b"\xff:x"])
    assert hand.reads == 0
    hand.room.receive([b"b:2"])
    assert hand.reads == 1


def test_an_acknowledged_position_counts_as_seen_before_it_is_heard() -> None:
    hand = RoomByHand().at(5)
    hand.room.detector.acknowledged("a", 7, text(7))
    assert (hand.room.observed.position, hand.room.position) == (Position("a", 7), Position("a", 5))
    hand.room.detector.acknowledged("b", 9, text(9))
    assert hand.room.observed.position == Position("a", 5), "of another epoch nothing is known"


def test_a_new_epoch_takes_the_prepared_command_away_that_would_use_it_twice() -> None:
    hand = RoomByHand().at(5)
    hand.room.publish_head = b"prepared"
    hand.room.request()
    hand.comes(stored(5))
    assert hand.room.publish_head == b"prepared"
    hand.room.request()
    hand.comes(stored(1, epoch="b"))
    assert hand.room.publish_head is None


def test_a_repair_during_a_read_reads_once_more() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.request()
    hand.room.request_again()
    hand.room.request_again()
    hand.comes(stored(2))
    assert hand.reads == 2
    hand.comes(stored(3))
    assert (ann.texts(), hand.reads) == (["a3"], 2)


def test_a_failed_read_loses_nothing_that_a_later_one_finds() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.hears(5)
    hand.comes(StoreUnavailable("away"))
    hand.room.request_again()
    hand.comes(stored(5))
    assert (ann.texts(), hand.reads) == (["a3", "a4", "a5"], 2)


def test_a_room_without_members_reads_nothing_and_begins_anew() -> None:
    hand = RoomByHand().at(2)
    hand.hears(3, 7, 8)
    hand.room.request_again()
    assert (hand.reads, hand.room.is_idle, hand.room.position.epoch) == (0, True, "")


def test_a_notice_goes_to_all_but_one_and_changes_no_position() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room, "s1")
    _, ben = live_member(hand.room, "s2", is_direct=False)
    notice = b'{"message":"cy has joined the room","username":"ChatBot","__createdtime__":1,"room":"tea"}'
    hand.room.receive([live(3), b"-s2 " + notice, live(4), b"- " + notice])
    joined = "cy has joined the room"
    assert (ann.texts(), ben.texts()) == (["a3", joined, "a4", joined], ["a3", "a4", joined])
    assert (hand.room.position, hand.reads) == (Position("a", 4), 0)


def test_members_over_polling_and_websocket_see_the_same() -> None:
    hand = RoomByHand().at(0)
    _, ann = live_member(hand.room, "s1")
    _, ben = live_member(hand.room, "s2", is_direct=False)
    hand.hears(1)
    hand.hears(2, 3)
    assert ann.packets == ben.packets
    assert len(ann.packets) == 3


def test_a_socket_that_changes_its_way_of_writing_is_looked_at_again() -> None:
    hand = RoomByHand().at(0)
    _, ann = live_member(hand.room, is_direct=False)
    hand.hears(1)
    ann.is_direct = True
    hand.room.refresh_targets()
    hand.hears(2)
    assert ann.texts() == ["a1", "a2"]


def test_one_who_left_gets_nothing_more() -> None:
    hand = RoomByHand().at(0)
    member, ann = live_member(hand.room)
    _, ben = live_member(hand.room, "s2")
    hand.hears(1)
    hand.room.remove(member)
    hand.hears(2)
    assert (ann.texts(), ben.texts()) == (["a1"], ["a1", "a2"])
    assert member.state is MemberState.OUTSIDE


def test_an_old_membership_does_not_remove_its_successor() -> None:
    hand = RoomByHand().at(0)
    old, _ = live_member(hand.room)
    _, new = live_member(hand.room)
    hand.room.remove(old)
    hand.hears(1)
    assert new.texts() == ["a1"]
    assert not isinstance(member_of(hand.room, Recorder()).position, Position)


@pytest.mark.parametrize("event", [one for one in EVENTS_TOLD if one != "changed"])
def test_an_event_that_is_told_reaches_all_live_members_but_one_and_moves_nothing(event: str) -> None:
    hand = RoomByHand().at(2)
    (_, ann), (_, bob), (slow, cat) = (live_member(hand.room, session) for session in ("s1", "s2", "s3"))
    hand.room.pause(slow)
    hand.room.receive([told_head(event, "s1") + b' {"a":1}', live(3), told_head(event) + b' {"a":2}'])
    first, second = (b'42["%b",{"a":%d}]' % (event.encode(), number) for number in (1, 2))
    assert [packet for packet in bob.packets if b"receive" not in packet] == [first, second]
    assert [packet for packet in ann.packets if b"receive" not in packet] == [second]
    assert ann.packets[0] == bob.packets[1]
    assert (cat.packets, hand.room.position, hand.reads) == ([], Position("a", 3), 0)
