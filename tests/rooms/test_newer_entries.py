"""A reading asks for no more than somebody needs: from the oldest entry that any reader, or a comparison, wants."""

from __future__ import annotations

import pytest

from gateway.errors import StoreError
from gateway.protocol import Position
from gateway.rooms.resync import wanted_from
from gateway.state.history import NO_POSITION, Snapshot
from tests.support.hand_source import HandSource
from tests.support.recorder import live_member
from tests.support.room_by_hand import RoomByHand, stored, text


def newer(seq: int, from_seq: int) -> Snapshot:
    """What the store answers to one who wants entries from `from_seq` on."""
    return Snapshot("a", seq, [text(number) for number in range(from_seq, seq + 1)], from_seq=from_seq)


def wanted(source: HandSource) -> Position:
    source.ask()
    return source.wanted


def test_a_repair_wants_the_last_message_and_what_is_newer() -> None:
    hand = RoomByHand().at(50)
    _, ann = live_member(hand.room)
    hand.room.request_again()
    assert wanted(hand.source) == Position("a", 50), "the last one, to see that it is still the same"
    hand.comes(newer(52, 50))
    assert (ann.texts(), hand.reads) == (["a51", "a52"], 1)
    hand.room.request_again()
    hand.comes(newer(52, 52))
    assert (ann.texts(), hand.reads) == (["a51", "a52"], 2)


def test_the_first_reading_and_a_join_without_since_want_all() -> None:
    hand = RoomByHand()
    hand.room.request()
    assert wanted(hand.source) == NO_POSITION
    hand.comes(stored(50))
    hand.room.with_snapshot(lambda snapshot: None)
    assert wanted(hand.source) == NO_POSITION


@pytest.mark.parametrize(
    ("positions", "lowest"),
    [
        ([Position("a", 45)], Position("a", 46)),
        ([Position("a", 48), Position("a", 40), Position("a", 49)], Position("a", 41)),
        ([Position("a", 50)], Position("a", 50)),
        ([Position("a", 48), None], NO_POSITION),
        ([Position("a", 48), Position("b", 48)], NO_POSITION),
        ([Position("a", 51)], NO_POSITION),
    ],
)
def test_of_those_who_wait_the_lowest_position_wins(
    positions: list[Position | None], lowest: Position
) -> None:
    hand = RoomByHand().at(50)
    live_member(hand.room)
    for position in positions:
        hand.room.with_snapshot(lambda snapshot: None, position)
    assert wanted(hand.source) == lowest


def test_who_comes_with_less_than_was_asked_for_waits_for_the_next_reading() -> None:
    hand = RoomByHand().at(50)
    live_member(hand.room)
    told: list[Snapshot | StoreError] = []
    hand.room.request_again()
    hand.source.ask()
    hand.room.with_snapshot(told.append, Position("a", 30))
    hand.comes(newer(50, 50))
    assert (told, hand.reads) == ([], 2)
    assert wanted(hand.source) == Position("a", 31)
    hand.comes(newer(50, 31))
    assert told == [newer(50, 31)]


def test_members_that_lag_and_what_was_observed_are_asked_for_too() -> None:
    hand = RoomByHand().at(50)
    member, _ = live_member(hand.room)
    hand.room.detector.acknowledged("a", 44, text(44))
    hand.room.server_left(0.0)
    assert wanted_from(hand.room).seq == 0, "before the first question nothing is known"
    hand.room.request_again()
    assert wanted(hand.source) == Position("a", 44)
    hand.comes(newer(50, 44))
    hand.room.hold(member, Position("a", 20))
    hand.room.request_again()
    assert wanted(hand.source) == Position("a", 21)
    hand.room.hold(member, None)
    assert wanted_from(hand.room) == NO_POSITION


def test_a_member_that_lags_further_back_than_was_asked_for_gets_no_gap() -> None:
    hand = RoomByHand().at(50)
    member, ann = live_member(hand.room)
    hand.room.request_again()
    hand.source.ask()
    hand.room.hold(member, Position("a", 47))
    hand.comes(newer(50, 50))
    assert ann.texts() == []
    assert wanted(hand.source) == Position("a", 48)
    hand.comes(newer(50, 48))
    assert ann.texts() == ["a48", "a49", "a50"]


def test_what_was_observed_after_the_question_is_not_taken_for_trimmed() -> None:
    hand = RoomByHand().at(50)
    live_member(hand.room)
    hand.room.detector.acknowledged("a", 44, text(44))
    hand.room.request_again()
    hand.source.ask()
    hand.room.server_left(0.0)
    hand.room.request_again()
    hand.comes(newer(50, 50))
    assert wanted(hand.source) == Position("a", 44)
    assert not hand.room.observed.is_contradicted
