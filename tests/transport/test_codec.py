"""Reading what clients send, strictly: payloads of polling requests, and events."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.transport.codec import MalformedPacket, check_event, decode_event, decode_payload, load_json
from gateway.websocket.frames import BINARY, TEXT


def test_a_payload_is_divided_into_packets_and_base64_is_undone() -> None:
    assert list(decode_payload(b'42["a"]\x1ebAQID\x1e3')) == [
        (TEXT, b'42["a"]'),
        (BINARY, b"\x01\x02\x03"),
        (TEXT, b"3"),
    ]
    assert list(decode_payload(b"3\x1e")) == [(TEXT, b"3"), (TEXT, b"")]


@pytest.mark.parametrize("body", [b"", b"b***", b"bAQI", b"3\x1ebA"])
def test_a_payload_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedPacket):
        list(decode_payload(body))


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b'42["join",{"room":"r"}]', ("join", [{"room": "r"}], None)),
        (b'420["x"]', ("x", [], 0)),
        (b'4217["x",1,null]', ("x", [1, None], 17)),
        (b'42999999999999999["x"]', ("x", [], 999999999999999)),
        (b"42[7]", (7, [], None)),
    ],
)
def test_an_event_is_read_into_name_arguments_and_number(data: bytes, event: Any) -> None:
    assert decode_event(data) == event


@pytest.mark.parametrize(
    "data",
    [
        b"42",
        b"42x",
        b"42{}",
        b'42"x"',
        b"42[]",
        b"42[null]",
        b"42[true]",
        b"42[{}]",
        b'42["connect"]',
        b'42["disconnect"]',
        b'42["newListener",1]',
        b'42["x"',
        b'42["x",NaN]',
        b'42["x",Infinity]',
        b'42-1["x"]',
        b"42" + b"9" * 40 + b'["x"]',
        b'42["\xff"]',
        b'42["x",' + b"[" * 5000,
    ],
)
def test_what_is_no_event_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        decode_event(data)


def test_half_a_surrogate_pair_is_read_as_javascript_means_it() -> None:
    assert load_json(b'["\\ud83d"]') == ["\ud83d"]


@pytest.mark.parametrize("event", [None, {}, "x", [], [None], [True], ["disconnecting"]])
def test_an_event_begins_with_a_name_that_is_not_reserved(event: Any) -> None:
    with pytest.raises(MalformedPacket):
        check_event(event)
