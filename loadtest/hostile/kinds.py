"""What hostile connections send: for each kind the bytes of one block, repeated for as long as it is taken."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass

BLOCK_BYTES = 64 * 1024
FIN, RSV1 = 0x80, 0x40
CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be a burden. Over `transport` a connection sends `first`, then `block` again and again; over
    polling a block is the body of a POST, over http it is what a connection sends that is no session."""

    name: str
    block: bytes
    first: bytes = b""
    transport: str = "websocket"
    compression: bool = False


def frame(opcode: int, payload: bytes = b"", first: int = FIN) -> bytes:
    """A client's frame, masked with zeros: so the payload travels as it is."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


def deflated(payload: bytes) -> bytes:
    """A compressed text frame."""
    deflating = zlib.compressobj(9, zlib.DEFLATED, -15)
    return frame(TEXT, (deflating.compress(payload) + deflating.flush(zlib.Z_SYNC_FLUSH))[:-4], FIN | RSV1)


def _event(name: str, data: object, ack: str = "") -> bytes:
    return f"42{ack}{json.dumps([name, data])}".encode()


def _filled(unit: bytes) -> bytes:
    return unit * max(1, BLOCK_BYTES // len(unit))


def _payload(packet: bytes) -> bytes:
    return b"\x1e".join([packet] * (60_000 // (len(packet) + 1)))


_MEMBER = frame(TEXT, _event("join", {"username": "x", "room": "flooded"}))
_SENT = _event("send", {"username": "x", "room": "flooded", "message": "m"})
_ASKED = _event("history", {"room": "flooded"}, "7")
_REFUSED = _event("send", {"username": "x", "room": "nowhere", "message": "m"})
_REFUSED_ACK = _event("send", {"username": "x", "room": "nowhere", "message": "m"}, "7")
_BINARY_EVENT = frame(TEXT, b'451-["x",{"_placeholder":true,"num":0}]') + frame(BINARY, b"\1")
_LARGE = _event("send", {"username": "x", "room": "r", "message": [[[0]] * 50] * 200})[:60_000]
_POST = b"POST /socket.io/?EIO=4&transport=polling&sid=no.one HTTP/1.1\r\nHost: x\r\n"
_BOMB = _event("send", {"username": "x", "room": "r", "message": "a" * 65_000})

KINDS = (
    Kind("42[0]", _filled(frame(TEXT, b"42[0]"))),
    Kind("empty PINGs", _filled(frame(PING))),
    Kind("full PINGs", _filled(frame(PING, b"p" * 125))),
    Kind("unasked PONGs", _filled(frame(PONG))),
    Kind("unasked Engine.IO pongs", _filled(frame(TEXT, b"3"))),
    Kind("refused sends", _filled(frame(TEXT, _REFUSED))),
    Kind("refused sends with ack", _filled(frame(TEXT, _REFUSED_ACK))),
    Kind("sends without pause", _filled(frame(TEXT, _SENT)), _MEMBER),
    Kind("histories without pause", _filled(frame(TEXT, _ASKED)), _MEMBER),
    Kind("joins without pause", _filled(_MEMBER), _MEMBER),
    Kind("empty fragments", _filled(frame(CONTINUATION, b"", 0)), frame(TEXT, b"42", 0)),
    Kind("one-byte fragments", _filled(frame(TEXT, b"4", 0) + frame(CONTINUATION, b"1", 0) * 9_000)),
    Kind("acknowledgements of nothing", _filled(frame(TEXT, b"431[]"))),
    Kind("unknown namespaces", _filled(frame(TEXT, b"40/x,"))),
    Kind("binary events", _filled(_BINARY_EVENT)),
    Kind("large refused events", frame(TEXT, _event("send", {"message": [[0] * 100] * 200}))),
    Kind("compressed bombs", _filled(deflated(_BOMB)), compression=True),
    Kind("compressed 42[0]", _filled(deflated(b"42[0]")), compression=True),
    Kind("polled pongs", _payload(b"3"), transport="polling"),
    Kind("polled 42[0]", _payload(b"42[0]"), transport="polling"),
    Kind("polled refused sends", _payload(_REFUSED), transport="polling"),
    Kind("polled ends", _payload(b"1"), transport="polling"),
    Kind("pipelined /healthz", _filled(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), transport="http"),
    Kind("posts of no session", _filled(_POST + b"Content-Length: 1\r\n\r\n3"), transport="http"),
    Kind(
        "one-byte chunks",
        _POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n3\r\n" * 10_000,
        transport="http",
    ),
    Kind("pipelined requests", _filled(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"), transport="http"),
    Kind("HTTP garbage", _filled(b"\x16\x03\x01\x02 nonsense \r\n"), transport="http"),
    Kind("endless header", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Header: y\r\n" * 5_000, transport="http"),
)
