"""Frames and requests that break a protocol end their own connection at once, and nothing else.

Every test is watched by a bystander, whose session must go on, and by the log, which must show no traceback.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.system.conformance.at_once import at_once
from tests.system.conformance.echo_server import EchoServer
from tests.system.conformance.raw import RawSocket, client_frame, half_request
from tests.system.conformance.wire import (
    LIMIT_S,
    SEPARATOR,
    SOON_S,
    Polling,
    Socket,
)

pytestmark = pytest.mark.usefixtures("bystander")

MAX_BYTES = 1_000_000
ANNOUNCED = '452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
TARGET = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture
def address(socketio_echo: EchoServer) -> str:
    """The URL of the engine."""
    return socketio_echo.address


@pytest.fixture
async def witness(web: aiohttp.ClientSession, address: str) -> AsyncIterator[Socket]:
    """A bystander whose answers are counted."""
    socket = await Socket.connect(web, address)
    yield socket
    await socket.close()


# -- frames


def head(first: int, length_byte: int, rest: bytes = b"") -> bytes:
    """The beginning of a frame, bit by bit."""
    return bytes((first, length_byte)) + rest


FRAMES = {
    "not masked": (client_frame(1, b'42["message"]', mask=False), {1002}),
    "reserved opcode": (client_frame(3, b"x"), {1002}),
    "reserved control opcode": (client_frame(11, b""), {1002}),
    "reserved bit without an extension": (client_frame(1, b"4", reserved=4), {1002}),
    "other reserved bit": (client_frame(1, b"4", reserved=1), {1002}),
    "long ping": (client_frame(9, bytes(126)), {1002}),
    "ping in fragments": (client_frame(9, b"", is_final=False), {1002}),
    "continuation of nothing": (client_frame(0, b"x"), {1002}),
    "text within a text": (client_frame(1, b"4", is_final=False) + client_frame(1, b"4"), {1002}),
    "negative length": (head(0x82, 0xFF, b"\xff" * 8), {1002, 1009}),
    "announced beyond the limit": (head(0x81, 0xFF, (MAX_BYTES + 1).to_bytes(8)), {1009}),
    "announced far beyond the limit": (head(0x82, 0xFF, (1 << 62).to_bytes(8)), {1009}),
    "beyond the limit in fragments": (
        b"".join(client_frame(1 if not n else 0, b"4" * 400_000, is_final=n == 2) for n in range(3)),
        {1009},
    ),
    "broken UTF-8": (client_frame(1, b"4\xff"), {1007}),
    "half a character": (client_frame(1, b"4\xe2\x82"), {1007}),
    "surrogate as UTF-8": (client_frame(1, b"4\xed\xa0\x80"), {1007}),
    "broken UTF-8 in the first fragment": (client_frame(1, b"4\xff", is_final=False), {1007}),
    "half a close code": (client_frame(8, b"\x03"), {1002}),
    "close code that is not sent": (client_frame(8, (1005).to_bytes(2)), {1002}),
    "close reason in broken UTF-8": (client_frame(8, (1000).to_bytes(2) + b"\xff"), {1007}),
    "HTTP where frames belong": (b"GET / HTTP/1.1\r\n\r\n", {1002}),
    "noise": (bytes(range(256)) * 4, {1002}),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_a_broken_frame_closes_with_its_code(
    socketio_echo: EchoServer, witness: Socket, name: str
) -> None:
    data, codes = FRAMES[name]
    async with await RawSocket.open(socketio_echo.port, TARGET) as socket:
        socket.write(data)
        _, code = await at_once(witness, socket.closed_after_s())
    assert code in codes


async def test_a_message_at_the_limit_is_taken(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.connect(web, address)
    frame = '42["message","' + "x" * (MAX_BYTES - 16) + '"]'
    assert len(frame) == MAX_BYTES
    await socket.send(frame)
    assert str(await socket.receive_answering()).startswith('42["message-back","xxx')
    await socket.close()


@pytest.mark.parametrize("size", [500_001, 1_000_000])
async def test_attachments_above_the_limit_together_close_as_a_message_does(
    web: aiohttp.ClientSession, address: str, size: int
) -> None:
    socket = await Socket.connect(web, address)
    await socket.send(ANNOUNCED, bytes(size), bytes(size))
    await socket.closed_after_s()
    assert socket.close_code == 1009


async def test_attachments_above_the_limit_together_are_answered_as_a_body_is(
    web: aiohttp.ClientSession, address: str
) -> None:
    session = await Polling.connect(web, address)
    attachment = b"b" + base64.b64encode(bytes(500_001))
    assert (await session.post(ANNOUNCED))[0] == 200
    assert (await session.post(attachment))[0] == 200
    assert (await session.post(attachment))[0] == 413
    await session.ended()


async def test_a_message_above_the_limit_closes(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.connect(web, address)
    await socket.send("4" * (MAX_BYTES + 1))
    await socket.closed_after_s()
    assert socket.close_code in (1009, 1006)


@pytest.mark.parametrize("cut", [1, 2, 5, 9, 300])
async def test_a_connection_that_is_cut_inside_a_frame_is_forgotten(
    socketio_echo: EchoServer, cut: int
) -> None:
    async with await RawSocket.open(socketio_echo.port, TARGET) as socket:
        socket.write(client_frame(1, b"4" * 1000)[:cut])


# -- polling requests


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"abc",
        b"9",
        b"2",
        b"5",
        SEPARATOR.encode() * 3,
        b"3" + SEPARATOR.encode(),
        b"b",
        b"b!!!",
        b"bAQ",
        b"bAQID",
        b"4\xff\xfe",
        b"\x00\x01\x02\xff",
        b"42{}",
        b"4abc",
        b'42["message"',
        b'42["disconnect"]',
        b'42["message"]' + SEPARATOR.encode() + b"42{}",
        b'{"json":"of something else"}',
        b"x" * 500_000,
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_garbage_body_closes_the_session(
    web: aiohttp.ClientSession, address: str, witness: Socket, body: bytes
) -> None:
    session = await Polling.connect(web, address)
    assert (await at_once(witness, session.post(body)))[0] == 400
    await at_once(witness, session.ended())


async def test_garbage_ends_the_waiting_poll(
    web: aiohttp.ClientSession, address: str, witness: Socket
) -> None:
    session = await Polling.open(web, address)
    waiting = asyncio.create_task(session.get())
    await asyncio.wait({waiting}, timeout=SOON_S)
    assert (await at_once(witness, session.post("abc")))[0] == 400
    await at_once(witness, waiting)
    assert await session.is_closed()


async def test_an_oversized_body_closes_the_session(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    try:
        status, _ = await session.post(b"4" * (MAX_BYTES + 1))
        assert status in (400, 413)
    except aiohttp.ClientConnectionError:
        pass  # answered and closed while the rest was on its way
    await session.get()
    assert await session.is_closed()


async def test_a_body_without_an_end_closes_the_session(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"4" * 65_536
            await asyncio.sleep(0)  # a flood that never waits would keep the bystander from its turn

    query = {"EIO": "4", "transport": "polling", "sid": session.sid}
    try:
        async with web.post(address, params=query, data=endless()) as response:
            assert response.status in (400, 413)
    except aiohttp.ClientError:
        pass  # the same
    await session.get()
    assert await session.is_closed()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "nonsense"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "text/plain; charset=nonsense"},
        {"Transfer-Encoding": "nonsense"},
    ],
    ids=lambda headers: " ".join(*headers.items()),
)
async def test_odd_headers_harm_nobody(
    web: aiohttp.ClientSession, socketio_echo: EchoServer, headers: dict[str, str]
) -> None:
    session = await Polling.open(web, socketio_echo.address)
    target = f"{socketio_echo.path}?EIO=4&transport=polling&sid={session.sid}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head_lines = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n{lines}"
    async with half_request(socketio_echo.port, head_lines, b"40"):
        await session.poll_a_little()


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"5\r\n40", b"-1\r\n\r\n", b"ffffffffffffffffff\r\n"])
async def test_broken_chunks_harm_nobody(
    web: aiohttp.ClientSession, socketio_echo: EchoServer, chunks: bytes
) -> None:
    session = await Polling.open(web, socketio_echo.address)
    target = f"{socketio_echo.path}?EIO=4&transport=polling&sid={session.sid}"
    head_lines = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    async with half_request(socketio_echo.port, head_lines, chunks):
        await session.poll_a_little()


@pytest.mark.parametrize(
    "query",
    [
        {"sid": ""},
        {"sid": "../../etc/passwd"},
        {"sid": "\x00"},
        {"sid": "é€😀"},
        {"sid": "x" * 4000},
        {"sid": "."},
        {"sid": "deadbeef.x"},
    ],
    ids=lambda query: repr(query["sid"][:20]),
)
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_an_odd_session_id_is_refused(
    web: aiohttp.ClientSession, address: str, transport: str, query: dict[str, str]
) -> None:
    async with web.get(address, params={"EIO": "4", "transport": transport, **query}) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00", b"\r\n\r\n", b"GET\r\n\r\n", b"GET /socket.io/ HTTP/9.9\r\n\r\n", b"\xff" * 1000,
     b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n"],
    ids=lambda data: repr(data[:25]),
)  # fmt: skip
async def test_what_is_not_http_harms_nobody(socketio_echo: EchoServer, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", socketio_echo.port)
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(LIMIT_S):
        try:
            while await reader.read(65_536):
                pass
        except ConnectionError:
            pass  # closed by the server
    writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n",
        "Sec-WebSocket-Version: 13\r\n",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 7\r\n",
        "Sec-WebSocket-Key: \u00ff\r\nSec-WebSocket-Version: 13\r\n",
    ],
)
async def test_a_broken_handshake_is_refused(socketio_echo: EchoServer, headers: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", socketio_echo.port)
    writer.write(
        f"GET {TARGET} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}\r\n".encode()
    )
    async with asyncio.timeout(LIMIT_S):
        line = await reader.readline()
    assert line.split()[1] in (b"400", b"426"), line
    writer.close()
    await writer.wait_closed()
