"""The opening handshake: which requests are one, and how they are accepted."""

from __future__ import annotations

import base64

import pytest
from multidict import CIMultiDict

from gateway.websocket.handshake import accept_key, check_handshake

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def test_the_accept_key_is_that_of_the_rfc() -> None:
    assert accept_key(KEY) == accept_key(KEY.encode()) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"Upgrade": "WebSocket"},
        {"Upgrade": "h2c, websocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "UPGRADE"},
        {"Sec-WebSocket-Key": f" {KEY} "},
    ],
)
def test_a_handshake_is_accepted(changed: dict[str, str]) -> None:
    assert check_handshake("GET", GOOD | changed) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_names_of_headers_in_any_case_are_found_where_the_mapping_finds_them() -> None:
    headers = CIMultiDict({name.lower(): value for name, value in GOOD.items()})
    assert check_handshake("GET", headers) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upgrade", None),
        ("Upgrade", "h2c"),
        ("Upgrade", "websockets"),
        ("Connection", None),
        ("Connection", "close"),
        ("Connection", "keep-alive, not-upgrade"),
        ("Sec-WebSocket-Version", None),
        ("Sec-WebSocket-Version", "8"),
        ("Sec-WebSocket-Version", "13, 8"),
        ("Sec-WebSocket-Key", None),
        ("Sec-WebSocket-Key", ""),
        ("Sec-WebSocket-Key", "not base64 at all!!!!!!!"),
        ("Sec-WebSocket-Key", base64.b64encode(b"x" * 15).decode()),
        ("Sec-WebSocket-Key", base64.b64encode(b"x" * 17).decode()),
        ("Sec-WebSocket-Key", KEY.rstrip("=")),
        ("Sec-WebSocket-Key", "é" * 24),
    ],
)
def test_a_refusal_names_the_header(name: str, value: str | None) -> None:
    headers = {key: text for key, text in GOOD.items() if key != name}
    with pytest.raises(ValueError, match=name):
        check_handshake("GET", headers if value is None else headers | {name: value})


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get"])
def test_only_get_is_a_handshake(method: str) -> None:
    with pytest.raises(ValueError, match="GET"):
        check_handshake(method, GOOD)
