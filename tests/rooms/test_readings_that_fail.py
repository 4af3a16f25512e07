"""A history that cannot be read: tried again while the store is away, given up when it is refused."""

from __future__ import annotations

from structlog.testing import capture_logs

from gateway.errors import StoreError, StoreRefused, StoreUnavailable
from gateway.rooms.resync import JITTER, RETRY_MOST_S, RETRY_S
from gateway.state.history import Snapshot
from tests.support.recorder import live_member
from tests.support.room_by_hand import RoomByHand, stored

REFUSED = StoreRefused("WRONGTYPE Operation against a key holding the wrong kind of value")


def test_what_the_store_refuses_is_asked_once_and_logged_once() -> None:
    hand = RoomByHand().at(2)
    live_member(hand.room)
    with capture_logs() as logged:
        hand.room.request_again()
        hand.comes(REFUSED)
        assert (hand.reads, hand.source.step) == (1, None), "nobody asks again by itself"
        hand.room.request_again()
        hand.comes(REFUSED)
    assert (hand.reads, hand.source.step) == (2, None)
    lines = [line for line in logged if line["event"] == "room_unreadable"]
    assert [(line["room"], line["log_level"]) for line in lines] == [("tea", "error")]
    assert "WRONGTYPE" in lines[0]["reason"]


def test_a_refusal_after_a_failover_does_not_make_the_room_ask_for_ever() -> None:
    hand = RoomByHand().at(2)
    hand.room.server_left(0.0)
    hand.room.request_again()
    hand.comes(REFUSED)
    assert (hand.reads, hand.source.step) == (1, None)
    assert hand.room.observed.is_suspicious, "the next message tells it"


def test_a_message_shows_that_the_room_can_be_read_again() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.request_again()
    hand.comes(REFUSED)
    hand.hears(3)
    hand.hears(6)
    hand.comes(stored(6))
    hand.hears(7)
    assert (ann.texts(), hand.reads, hand.source.step) == (["a3", "a4", "a5", "a6", "a7"], 2, None)


def test_who_waits_is_told_of_the_refusal() -> None:
    hand = RoomByHand()
    told: list[Snapshot | StoreError] = []
    hand.room.with_snapshot(told.append)
    hand.comes(REFUSED)
    assert (told, hand.source.step) == ([REFUSED], None)


def test_while_the_store_is_away_the_pauses_grow() -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.request_again()
    for _ in range(8):
        hand.comes(StoreUnavailable("away"))
        assert hand.is_paused()
        hand.source.go_on()
    hand.comes(stored(3))
    assert ann.texts() == ["a3"]
    for number, pause_s in enumerate(hand.source.pauses_s):
        usual_s = min(RETRY_S * 2**number, RETRY_MOST_S)
        assert usual_s * (1 - JITTER) <= pause_s <= usual_s * (1 + JITTER)
    hand.room.request_again()
    hand.comes(StoreUnavailable("away"))
    assert hand.source.pauses_s[-1] <= RETRY_S * (1 + JITTER), "it begins anew"
