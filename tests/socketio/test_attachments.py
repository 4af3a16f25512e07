"""Binary attachments that are announced: kept in the session, for a namespace that is connected, and gone with it."""

from __future__ import annotations

import asyncio
import base64
import gc
from collections.abc import Callable
from typing import Any

import pytest

from gateway.option_groups import EngineOptions
from gateway.socketio.server import SocketServer
from gateway.socketio.strict import StrictPacket
from gateway.transport.codec import MalformedPacket, PacketTooLarge
from gateway.transport.socket import EngineSocket
from gateway.websocket.frames import BINARY, TEXT

LIMIT_BYTES = 10_000
ANNOUNCED = b'459-["x"' + b',{"_placeholder":true,"num":0}' * 9 + b"]"
UNCONNECTED = {
    "an event": ANNOUNCED,
    "an acknowledgement": b'461-1[{"_placeholder":true,"num":0}]',
    "an event of another namespace": b'451-/x,["x",{"_placeholder":true,"num":0}]',
}


@pytest.fixture
async def socket() -> EngineSocket:
    server = SocketServer(EngineOptions(worker="w", max_payload_bytes=LIMIT_BYTES), namespaces=["/"])
    socket = EngineSocket(server.eio, "w.sid")
    socket.open_over_polling()
    server.eio.sockets[socket.sid] = socket
    server.environ[socket.sid] = {}
    return socket


async def take(socket: EngineSocket, opcode: int, data: bytes) -> None:
    """A packet arrives, and is handled."""
    if (waits := socket.received(opcode, data)) is not None:
        await waits


async def connect(socket: EngineSocket) -> None:
    await take(socket, TEXT, b"40")


def packets_alive() -> list[Any]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, StrictPacket)]


@pytest.mark.parametrize("kind", UNCONNECTED)
async def test_attachments_announced_before_a_connect_are_malformed_and_nothing_is_kept(
    socket: EngineSocket, kind: str
) -> None:
    with pytest.raises(MalformedPacket):
        await take(socket, TEXT, UNCONNECTED[kind])
    assert socket.attachments_of is None
    assert packets_alive() == []


async def test_what_was_announced_goes_with_the_session(socket: EngineSocket) -> None:
    await connect(socket)
    await take(socket, TEXT, ANNOUNCED)
    for _ in range(8):
        await take(socket, BINARY, bytes(1000))
    assert len(packets_alive()) == 1
    socket.end(socket.server.reason.TRANSPORT_CLOSE, packet=None)  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert packets_alive() == []


async def test_a_whole_event_is_handed_up_and_forgotten(socket: EngineSocket) -> None:
    await connect(socket)
    await take(socket, TEXT, b'451-["x",{"_placeholder":true,"num":0}]')
    await take(socket, BINARY, b"a")
    assert socket.attachments_of is None
    with pytest.raises(MalformedPacket):
        await take(socket, BINARY, b"b")


async def test_more_attachments_than_allowed_are_never_waited_for(socket: EngineSocket) -> None:
    await connect(socket)
    with pytest.raises(MalformedPacket):
        await take(socket, TEXT, b'4511-["x"' + b',{"_placeholder":true,"num":0}' * 11 + b"]")
    assert socket.attachments_of is None


THREE = b'453-["x"' + b',{"_placeholder":true,"num":0}' * 3 + b"]"
WAYS: dict[str, Callable[[bytes], tuple[int, bytes]]] = {
    "frames": lambda data: (BINARY, data),
    "base64 in text": lambda data: (TEXT, b"b" + base64.b64encode(data)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sizes", [(4_000, 4_000, 2_001), (9_999, 2), (0, 10_001)])
async def test_attachments_of_one_packet_have_the_bytes_of_one_message_together(
    socket: EngineSocket, way: str, sizes: tuple[int, ...]
) -> None:
    await connect(socket)
    await take(socket, TEXT, THREE)
    for size in sizes[:-1]:
        await take(socket, *WAYS[way](bytes(size)))
    with pytest.raises(PacketTooLarge):
        await take(socket, *WAYS[way](bytes(sizes[-1])))
