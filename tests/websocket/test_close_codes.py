"""The end of a connection: CLOSE frames, their codes and reasons."""

from __future__ import annotations

import pytest

from gateway.websocket.close_codes import parse_close
from gateway.websocket.frames import CLOSE, TEXT, close_frame, frame
from tests.support.client_frames import FIN, SHORT_PING, client_frame, each_way


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x0f\xa0bye", b"\x03\xe8" + "€".encode() * 41])
def test_a_close_frame_comes_with_its_payload_and_nothing_after_it_is_read(payload: bytes) -> None:
    stream = client_frame(TEXT, b"open") + client_frame(FIN | CLOSE, payload)
    for rest in (b"", SHORT_PING, b"\xff\xff\xff", client_frame(FIN, b"late")):
        assert each_way(stream + rest) == ([(CLOSE, payload)], 0)


@pytest.mark.parametrize(
    "code", [0, 999, *range(1000, 1017), 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535]
)
def test_close_codes_are_taken_as_registered(code: int) -> None:
    payload = code.to_bytes(2) + b"why"
    is_good = code in {1000, 1001, 1002, 1003, *range(1007, 1015)} or 3000 <= code <= 4999
    assert each_way(client_frame(FIN | CLOSE, payload)) == (
        ([(CLOSE, payload)], 0) if is_good else ([], 1002)
    )
    if is_good:
        assert parse_close(payload) == (code, "why")
        assert close_frame(code, "why") == frame(CLOSE, payload)
    elif code != 1005:
        with pytest.raises(ValueError, match=str(code)):
            close_frame(code)


def test_no_close_code_is_1005_both_ways() -> None:
    assert parse_close(b"") == (1005, "")
    assert close_frame(1005) == b"\x88\x00"


@pytest.mark.parametrize(
    ("reason", "kept"), [("x" * 123, 123), ("x" * 124, 123), ("é" * 62, 122), ("😀" * 40, 120)]
)
def test_a_long_reason_is_cut_after_a_whole_character(reason: str, kept: int) -> None:
    sent = close_frame(1001, reason)
    code, text = parse_close(sent[2:])
    assert (sent[1], code, len(text.encode())) == (2 + kept, 1001, kept)
    assert reason.startswith(text)
