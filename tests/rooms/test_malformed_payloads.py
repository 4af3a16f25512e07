"""Payloads on a room's own channel that the gateway did not write: each spoils itself alone."""

from __future__ import annotations

import pytest

from gateway.metrics import malformed
from tests.support.recorder import live_member
from tests.support.room_by_hand import RoomByHand, live

MALFORMED = [
    b"",
    b" ",
    b"\xff\xfe\xfd",
    b"\x80\x02}q\x00.",
    b"hello",
    b"hello world",
    b'{"message": "x"}',
    b"- ",
    b"-s9",
    b"-\xff {}",
    b"-s9 {",
    b'-s9 {"a":1',
    b"-s9 [1]",
    b"-s9 \xff",
    b"!signal:s9",
    b"!signal:s9 {",
    b"!signal {}",
    b"!unknown:s9 {}",
    b"!:s9 {}",
    b"! {}",
    b"!signal:\xff {}",
    b"a: {}",
    b":4 {}",
    b"a:x {}",
    b"a:-4 {}",
    b"a:1_0 {}",
    b"a:\xb2 {}",
    b"a:4 text",
    b"a:4 [1]",
    b"a:4 {\xff}",
    b"a:4 {",
    b"a:4 }",
    b"a:4 x}",
    b"\xff:4 {}",
    b"a:" + b"9" * 5000 + b" {}",
    b"a:9 {x}",
    b'["python-socketio", "pickled"]',
    b'\xff:4 {"message":"x"}',
]


@pytest.mark.parametrize("payload", MALFORMED, ids=repr)
def test_a_malformed_payload_keeps_nobody_from_the_good_ones_beside_it(payload: bytes) -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    before = malformed.value
    hand.room.receive([live(3), payload, live(4)])
    hand.room.receive([payload])
    hand.room.receive([live(5)])
    assert (ann.texts(), hand.reads) == (["a3", "a4", "a5"], 0)
    assert malformed.value == before + 2


@pytest.mark.parametrize("payload", MALFORMED, ids=repr)
def test_a_malformed_payload_does_no_harm_while_the_history_is_read(payload: bytes) -> None:
    hand = RoomByHand().at(2)
    _, ann = live_member(hand.room)
    hand.room.request()
    hand.room.receive([live(3), payload, live(4)])
    assert ann.texts() == ["a3", "a4"]
