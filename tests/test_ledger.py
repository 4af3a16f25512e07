"""The ledger catches what the gateway's contract forbids, and excuses what it allows."""

from __future__ import annotations

import pytest

from loadtest.ledger import Ledger, Report


class Room:
    """One room on a ledger, told in few words; the time counts on by 0.1 s with each fact."""

    def __init__(self, *members: str, epoch: str = "e") -> None:
        self.ledger = Ledger()
        self.epoch, self.now = epoch, 0.0
        for member in members:
            self.ledger.joined(member, "r", f"{epoch}:0")

    def tick(self) -> float:
        self.now += 0.1
        return self.now

    def stored(self, seq: int, *members: str, text: str = "", sender: str = "sue") -> None:
        """A message sent, acknowledged with that seq, and delivered to these members."""
        text = text or f"m{seq}"
        self.ledger.sent(sender, "r", text, self.tick())
        self.ledger.acknowledged(sender, "r", text, f"{self.epoch}:{seq}")
        for member in members:
            self.got(member, seq, text=text)

    def got(self, member: str, *seqs: int, text: str = "") -> None:
        for seq in seqs:
            self.ledger.received(member, "r", text or f"m{seq}", f"{self.epoch}:{seq}", self.tick())

    def judge(self) -> Report:
        return self.ledger.judge()


def faults(report: Report) -> tuple[int, int, int, int]:
    return report.missing, report.doubled, report.misordered, report.phantom


CLEAN = (0, 0, 0, 0)


def test_a_clean_run_is_clean_and_counted() -> None:
    room = Room("ann", "ben")
    for seq in range(1, 6):
        room.stored(seq, "ann", "ben")
    report = room.judge()
    assert report.is_clean
    assert (report.sent, report.acknowledged, report.delivered, report.lost) == (5, 5, 10, 0)
    assert report.longest_gap_s == pytest.approx(0.3)
    assert "delivered 10" in str(report)


def test_a_lost_message_in_the_middle_is_found() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.stored(2, "ann")
    room.stored(3, "ann", "ben")
    report = room.judge()
    assert faults(report) == (1, 0, 0, 0)
    assert "ben got e:3 next after e:1" in str(report)


def test_a_lost_message_at_the_end_is_found() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.stored(2, "ann")
    assert faults(room.judge()) == (1, 0, 0, 0)


def test_an_acknowledged_message_that_nobody_got_is_found_for_each_member() -> None:
    room = Room("ann", "ben")
    room.stored(1)
    report = room.judge()
    assert faults(report) == (2, 0, 0, 0)
    assert report.lost == 1


def test_a_stored_message_that_was_not_acknowledged_must_still_reach_all() -> None:
    room = Room("ann", "ben")
    room.ledger.sent("sue", "r", "m1", 0.0)
    room.ledger.refused("sue", "r", "m1", "unavailable")
    room.got("ann", 1)
    assert faults(room.judge()) == (1, 0, 0, 0)


def test_a_doubled_message_is_found() -> None:
    room = Room("ann")
    room.stored(1, "ann", "ann")
    room.stored(2, "ann")
    assert faults(room.judge()) == (0, 1, 0, 0)


def test_an_old_message_that_comes_again_is_found_once() -> None:
    room = Room("ann")
    for seq in (1, 2, 3):
        room.stored(seq, "ann")
    room.got("ann", 1)
    room.stored(4, "ann")
    assert faults(room.judge()) == (0, 1, 0, 0)


def test_a_retry_that_was_stored_twice_is_found() -> None:
    room = Room("ann")
    room.ledger.sent("sue", "r", "again", 0.0)
    room.ledger.refused("sue", "r", "again", "unavailable")
    room.got("ann", 1, text="again")
    room.stored(2, "ann", text="again")
    assert room.judge().doubled > 0


def test_a_retry_that_was_acknowledged_with_another_position_is_found() -> None:
    room = Room()
    room.stored(1, text="again")
    room.stored(2, text="again")
    assert room.judge().doubled == 1


def test_a_retry_with_the_first_position_is_the_same_message() -> None:
    room = Room("ann")
    room.ledger.sent("sue", "r", "m1", 0.0)
    room.ledger.refused("sue", "r", "m1", "unavailable")
    room.got("ann", 1)
    room.stored(1)
    report = room.judge()
    assert faults(report) == CLEAN
    assert report.sent == 1


def test_messages_in_another_order_than_their_positions_are_found() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann")
    room.stored(2, "ann", "ben")
    room.got("ben", 1)
    assert room.judge().misordered > 0


def test_two_members_with_two_orders_are_found() -> None:
    room = Room("ann", "ben")
    for text in ("a", "b"):
        room.ledger.sent("sue", "r", text, 0.0)
    room.got("ann", 1, text="a")
    room.got("ann", 2, text="b")
    room.got("ben", 1, text="b")
    room.got("ben", 2, text="a")
    assert room.judge().misordered > 0


def test_a_message_under_another_position_than_acknowledged_is_found() -> None:
    room = Room("ann")
    room.ledger.sent("sue", "r", "m1", 0.0)
    room.ledger.acknowledged("sue", "r", "m1", "e:2")
    room.got("ann", 1)
    report = room.judge()
    assert report.misordered == 1
    assert not report.is_clean


def test_a_sender_whose_messages_changed_places_is_found() -> None:
    room = Room("ann")
    for text in ("first", "second"):
        room.ledger.sent("sue", "r", text, 0.0)
    room.ledger.acknowledged("sue", "r", "second", "e:1")
    room.ledger.acknowledged("sue", "r", "first", "e:2")
    room.got("ann", 1, text="second")
    room.got("ann", 2, text="first")
    assert faults(room.judge()) == (0, 0, 1, 0)


def test_a_retried_message_may_come_after_later_ones() -> None:
    room = Room("ann")
    room.ledger.sent("sue", "r", "first", 0.0)
    room.ledger.refused("sue", "r", "first", "unavailable")
    room.stored(1, "ann", text="second")
    room.stored(2, "ann", text="first")
    assert faults(room.judge()) == CLEAN


def test_a_phantom_is_found() -> None:
    room = Room("ann")
    room.got("ann", 1, text="nobody said this")
    assert faults(room.judge()) == (0, 0, 0, 1)


def test_a_message_from_another_room_is_a_phantom() -> None:
    room = Room("ann")
    room.ledger.sent("sue", "other", "m1", 0.0)
    room.got("ann", 1)
    assert room.judge().phantom == 1


def test_a_message_delivered_though_refused_for_good_is_a_phantom() -> None:
    room = Room("ann")
    room.ledger.sent("sue", "r", "m1", 0.0)
    room.ledger.refused("sue", "r", "m1", "not_joined")
    room.got("ann", 1)
    assert room.judge().phantom == 1


def test_a_notice_is_not_judged() -> None:
    room = Room("ann")
    room.ledger.received("ann", "r", "sue has joined the room", None, 0.0)
    assert faults(room.judge()) == CLEAN


def test_a_replay_before_the_answer_of_a_join_belongs_to_it() -> None:
    room = Room()
    for seq in (1, 2, 3):
        room.stored(seq)
    room.got("ann", 1, 2, 3)
    room.ledger.joined("ann", "r", "e:3")
    room.stored(4, "ann")
    assert faults(room.judge()) == CLEAN


def test_a_replay_that_lacks_its_newest_message_is_found() -> None:
    room = Room()
    for seq in (1, 2, 3):
        room.stored(seq)
    room.got("ann", 1, 2)
    room.ledger.joined("ann", "r", "e:3")
    assert room.judge().missing > 0


def test_a_replay_that_begins_too_late_is_found() -> None:
    room = Room()
    for seq in range(1, 121):
        room.stored(seq)
    room.got("ann", *range(31, 121))
    room.ledger.joined("ann", "r", "e:120")
    assert faults(room.judge()) == (10, 0, 0, 0)


def test_a_replay_of_the_last_hundred_is_enough() -> None:
    room = Room()
    for seq in range(1, 121):
        room.stored(seq)
    room.got("ann", *range(21, 121))
    room.ledger.joined("ann", "r", "e:120")
    assert faults(room.judge()) == CLEAN


def test_a_replay_may_grow_by_what_comes_while_it_is_on_its_way() -> None:
    room = Room()
    for seq in range(1, 124):
        room.stored(seq)
    room.got("ann", *range(21, 124))
    room.ledger.joined("ann", "r", "e:123")
    assert faults(room.judge()) == CLEAN


def test_a_hole_in_a_replay_is_found() -> None:
    room = Room()
    for seq in range(1, 124):
        room.stored(seq)
    room.got("ann", *range(21, 60), *range(61, 124))
    room.ledger.joined("ann", "r", "e:123")
    assert faults(room.judge()) == (1, 0, 0, 0)


def test_an_empty_replay_of_a_filled_room_is_found() -> None:
    room = Room()
    room.stored(1)
    room.ledger.joined("ann", "r", "e:1")
    assert room.judge().missing > 0


def test_a_message_between_history_and_live_that_fell_through_is_found() -> None:
    room = Room()
    room.stored(1)
    room.got("ann", 1)
    room.ledger.joined("ann", "r", "e:1")
    room.stored(2)
    room.stored(3, "ann")
    assert faults(room.judge()) == (1, 0, 0, 0)


def test_a_member_that_was_cut_and_recovered_owes_nothing() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.ledger.cut("ben", "r")
    room.stored(2, "ann")
    room.got("ben", 2)
    room.ledger.joined("ben", "r", "e:2", recovered=True)
    room.stored(3, "ann", "ben")
    assert faults(room.judge()) == CLEAN


def test_a_recovery_with_a_hole_is_found() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.ledger.cut("ben", "r")
    room.stored(2, "ann")
    room.stored(3, "ann")
    room.got("ben", 3)
    room.ledger.joined("ben", "r", "e:3", recovered=True)
    assert faults(room.judge()) == (1, 0, 0, 0)


def test_a_recovery_that_repeats_is_found() -> None:
    room = Room("ben")
    room.stored(1, "ben")
    room.ledger.cut("ben", "r")
    room.stored(2)
    room.got("ben", 1, 2)
    room.ledger.joined("ben", "r", "e:2", recovered=True)
    assert faults(room.judge()) == (0, 1, 0, 0)


def test_a_recovery_from_an_older_position_may_repeat_what_lies_after_it() -> None:
    room = Room("ben")
    for seq in (1, 2, 3):
        room.stored(seq, "ben")
    room.ledger.cut("ben", "r")
    room.ledger.joining("ben", "r", since="e:1")
    room.got("ben", 2, 3)
    room.ledger.joined("ben", "r", "e:3", recovered=True)
    assert faults(room.judge()) == CLEAN


def test_a_member_told_that_it_was_not_recovered_may_miss_and_repeat() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.ledger.cut("ben", "r")
    for seq in range(2, 151):
        room.stored(seq, "ann")
    room.got("ben", *range(51, 151))
    room.ledger.joined("ben", "r", "e:150", recovered=False)
    report = room.judge()
    assert faults(report) == CLEAN
    assert report.gaps == 1


def test_a_join_cut_before_its_answer_counts_as_never_made() -> None:
    room = Room("ben")
    room.stored(1, "ben")
    room.ledger.cut("ben", "r")
    room.stored(2)
    room.ledger.joining("ben", "r", since="e:1")
    room.got("ben", 2)
    room.ledger.cut("ben", "r")
    room.ledger.joining("ben", "r", since="e:1")
    room.got("ben", 2)
    room.ledger.joined("ben", "r", "e:2", recovered=True)
    assert faults(room.judge()) == CLEAN


def test_a_join_again_without_since_replays_history() -> None:
    room = Room("ann")
    room.stored(1, "ann")
    room.stored(2, "ann")
    room.ledger.joining("ann", "r")
    room.stored(3, "ann")
    room.got("ann", 1, 2, 3)
    room.ledger.joined("ann", "r", "e:3")
    room.stored(4, "ann")
    assert faults(room.judge()) == CLEAN


def test_a_member_that_left_or_was_cut_owes_nothing_more() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.ledger.left("ann", "r")
    room.ledger.cut("ben", "r")
    room.stored(2)
    assert faults(room.judge()) == CLEAN


def test_a_gap_excuses_what_lies_before_it() -> None:
    room = Room("ann")
    room.stored(1, "ann")
    for seq in (2, 3):
        room.stored(seq)
    room.ledger.gap("ann", "r")
    room.got("ann", 3)
    room.stored(4, "ann")
    report = room.judge()
    assert faults(report) == CLEAN
    assert report.gaps == 1


def test_a_gap_excuses_nothing_that_comes_after_it() -> None:
    room = Room("ann")
    room.stored(1, "ann")
    room.ledger.gap("ann", "r")
    room.got("ann", 1)
    room.stored(2)
    room.stored(3, "ann")
    assert faults(room.judge()) == (1, 0, 0, 0)


@pytest.mark.parametrize(("had", "missing"), [(["ann", "ben"], 0), (["ann"], 1)])
def test_what_came_before_a_gap_may_be_acknowledged_after_it_to_those_who_had_it(
    had: list[str], missing: int
) -> None:
    room = Room("ann", "ben")
    room.ledger.sent("sue", "r", "m1", room.tick())
    for member in had:
        room.got(member, 1)
    room.epoch = "f"
    for member in ("ann", "ben"):
        room.ledger.gap(member, "r")
    room.stored(1, "ann", "ben", text="new")
    room.ledger.acknowledged("sue", "r", "m1", "e:1")
    assert faults(room.judge()) == (missing, 0, 0, 0)


@pytest.mark.parametrize("replayed", [True, False])
def test_what_others_got_in_an_epoch_that_a_member_skipped_is_not_missed_if_it_is_in_the_next(
    replayed: bool,
) -> None:
    room = Room("ann", "ben")
    room.ledger.sent("sue", "r", "m1", room.tick())
    room.ledger.gap("ann", "r")
    room.epoch = "g"
    if replayed:
        room.got("ann", 1)
    room.ledger.gap("ben", "r")
    room.epoch = "f"
    room.got("ben", 1)
    room.ledger.acknowledged("sue", "r", "m1", "f:1")
    room.ledger.gap("ben", "r")
    room.epoch = "g"
    room.got("ben", 1)
    room.stored(2, "ann", "ben")
    report = room.judge()
    assert (report.missing > 0) is not replayed
    assert (report.doubled, report.misordered, report.phantom) == (0, 0, 0)


def test_a_new_epoch_without_a_gap_is_found() -> None:
    room = Room("ann")
    room.stored(1, "ann")
    room.epoch = "f"
    room.stored(1, "ann", text="new")
    assert room.judge().misordered == 1


def test_a_new_epoch_with_a_gap_is_allowed() -> None:
    room = Room("ann")
    room.stored(1, "ann")
    room.ledger.gap("ann", "r")
    room.epoch = "f"
    room.stored(1, "ann", text="new")
    report = room.judge()
    assert faults(report) == CLEAN
    assert report.epochs == 2


def test_a_member_left_behind_in_an_old_epoch_is_found() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.ledger.gap("ann", "r")
    room.epoch = "f"
    room.stored(1, "ann", text="new")
    assert room.judge().missing == 1


def test_a_store_that_went_back_without_a_gap_is_found_though_positions_look_whole() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.stored(2, "ann", text="lost by the store")
    room.ledger.gap("ann", "r")
    room.got("ann", 1)
    room.stored(2, "ann", "ben", text="instead")
    report = room.judge()
    assert faults(report) == (1, 0, 0, 0)
    assert report.lost == 1


def test_a_member_recovered_across_a_store_that_went_back_is_found() -> None:
    room = Room("ann")
    room.stored(1, "ann")
    room.stored(2, "ann", text="lost by the store")
    room.ledger.cut("ann", "r")
    room.stored(2, text="instead")
    room.stored(3)
    room.got("ann", 3)
    room.ledger.joined("ann", "r", "e:3", recovered=True)
    room.ledger.joining("sam", "r")
    room.got("sam", 1)
    room.got("sam", 2, text="instead")
    room.got("sam", 3)
    room.ledger.joined("sam", "r", "e:3")
    assert room.judge().missing == 1


def test_a_store_that_went_back_with_a_gap_is_allowed() -> None:
    room = Room("ann", "ben")
    room.stored(1, "ann", "ben")
    room.stored(2, "ann", text="lost by the store")
    for member in ("ann", "ben"):
        room.ledger.gap(member, "r")
        room.got(member, 1)
    room.stored(2, "ann", "ben", text="instead")
    report = room.judge()
    assert faults(report) == CLEAN
    assert report.lost == 1


def test_a_late_member_tells_those_that_stayed_behind() -> None:
    room = Room("ann")
    room.stored(1, "ann")
    room.ledger.sent("sue", "r", "m2", 0.0)
    room.got("sam", 1, 2)
    room.ledger.joined("sam", "r", "e:2")
    assert room.judge().missing > 0


def test_rooms_are_judged_apart_and_summed() -> None:
    ledger = Ledger()
    for room in ("a", "b"):
        ledger.joined("ann", room, "e:0")
        ledger.sent("sue", room, "x", 0.0)
        ledger.acknowledged("sue", room, "x", "e:1")
    ledger.received("ann", "a", "x", "e:1", 0.0)
    report = ledger.judge()
    assert [room.missing for room in report.rooms] == [0, 1]
    assert report.missing == 1


def test_the_time_until_delivery_resumed_is_that_of_the_slowest_room() -> None:
    ledger = Ledger()
    for room, at in (("a", 11.0), ("b", 12.5)):
        ledger.received("ann", room, "old", "e:1", 9.0)
        ledger.received("ben", room, "old", "e:1", 10.5)
        ledger.received("ann", room, "new", "e:2", at)
    assert ledger.resumed_after_s(10.0) == pytest.approx(2.5)
    assert ledger.resumed_after_s(20.0) == float("inf")
