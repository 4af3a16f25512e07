"""What breaks a protocol ends its own connection at once, and nothing else.

Every test is watched by a bystander, whose session must go on, and by the log, which must show no traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aiohttp
import pytest

from tests.system.conformance.echo_server import EchoServer, echo_server
from tests.system.conformance.wire import (
    LIMIT_S,
    SEPARATOR,
    Polling,
    RawSocket,
    Socket,
    client_frame,
    half_request,
)

pytestmark = pytest.mark.system

AT_ONCE_S = 0.1
TRIES = 3
"""A busy machine may hold up one try by more than the limit; a server that waits for a time-out, all of them."""

MAX_BYTES = 1_000_000
WATCH_S = 60.0
PLACE = '{"_placeholder":true,"num":0}'
TARGET = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    """The echo app of Socket.IO."""
    with echo_server("socket.io") as server:
        yield server


@pytest.fixture
def address(echo: EchoServer) -> str:
    """The URL of the engine."""
    return echo.address


class Bystander:
    """A well-behaved session beside the one that misbehaves."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            self._answers.put_nowait(str(await self._socket.receive_answering(WATCH_S)))

    async def is_well(self) -> bool:
        """Whether an event of its still comes back, and came back once."""
        await self._socket.send('42["message","well"]')
        async with asyncio.timeout(LIMIT_S):
            answer = await self._answers.get()
        return answer == '42["message-back","well"]' and self._answers.empty() and not self._reading.done()

    async def close(self) -> None:
        """Leaves."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._socket.close()


@pytest.fixture(autouse=True)
async def bystander(web: aiohttp.ClientSession, echo: EchoServer) -> AsyncIterator[Bystander]:
    """Watches that the server, its other sessions and its log come through the test unharmed."""
    known = len(echo.log())
    session = Bystander(await Socket.connect(web, echo.address))
    yield session
    assert await session.is_well()
    await session.close()
    assert echo.is_running()
    assert "Traceback" not in echo.log()[known:], echo.log()[known:]


async def seconds_to_close(start: Callable[[], Awaitable[Socket]], *messages: str | bytes) -> float:
    """How long the server takes to close a connection for what it is sent: the best of a few tries."""
    best_s = LIMIT_S
    for _ in range(TRIES):
        socket = await start()
        await socket.send(*messages)
        best_s = min(best_s, await socket.closed_after_s())
        if best_s < AT_ONCE_S:
            break
    return best_s


# -- Engine.IO and Socket.IO packets over WebSocket


@pytest.mark.parametrize("packet", ["", "abc", "9", "0{}", "2", "2probe", "5", "6", " 4", "\x00", "€"])
async def test_an_engineio_packet_that_clients_do_not_send_closes(
    web: aiohttp.ClientSession, address: str, packet: str
) -> None:
    assert await seconds_to_close(lambda: Socket.connect(web, address), packet) < AT_ONCE_S


@pytest.mark.parametrize(
    "packet",
    [
        "4",
        "4abc",
        "47",
        "49[]",
        "4€",
        "40",
        '40{"token":"again"}',
        "40/custom,[1]",
        '40/custom,"token"',
        "40/custom,{bad",
        '44{"message":"no"}',
        "41/custom,",
        '43["no number"]',
        "43abc[]",
        '42/custom,["message","not entered"]',
        '42/random,["message","unknown"]',
    ],
)
async def test_a_socketio_packet_that_clients_do_not_send_closes(
    web: aiohttp.ClientSession, address: str, packet: str
) -> None:
    assert await seconds_to_close(lambda: Socket.connect(web, address), packet) < AT_ONCE_S


@pytest.mark.parametrize("namespace", ["", "/custom,"], ids=["main", "custom"])
@pytest.mark.parametrize(
    "rest",
    [
        "",
        "null",
        "{}",
        "[]",
        '"message"',
        "7",
        "7{}",
        '["message"',
        '["message",]',
        '["message",nothing]',
        '["message",NaN]',
        '["message",1e999,Infinity]',
        '["message"] and more',
        "[null]",
        "[true]",
        "[{}]",
        '[["message"]]',
        '["connect"]',
        '["disconnect"]',
        '["disconnect","transport close"]',
        '["connect_error"]',
        '["newListener"]',
        'abc["message"]',
        '-1["message"]',
        '1.5["message"]',
        "9" * 200 + '["message"]',
        "[" * 100_000,
        '["message",' + "[" * 100_000 + "]" * 100_000 + "]",
    ],
    ids=lambda rest: (rest[:30] or "nothing") if isinstance(rest, str) else None,
)
async def test_an_event_that_is_none_closes(
    web: aiohttp.ClientSession, address: str, namespace: str, rest: str
) -> None:
    start = lambda: Socket.connect(web, address, namespace)  # noqa: E731
    assert await seconds_to_close(start, f"42{namespace}{rest}") < AT_ONCE_S


@pytest.mark.parametrize("namespace", ["", "/custom,"], ids=["main", "custom"])
@pytest.mark.parametrize("reply", ["", "{}", "null", '"yes"', "[", "7"])
async def test_an_acknowledgement_that_is_none_closes(
    web: aiohttp.ClientSession, address: str, namespace: str, reply: str
) -> None:
    start = lambda: Socket.connect(web, address, namespace)  # noqa: E731
    assert await seconds_to_close(start, f"43{namespace}1{reply}") < AT_ONCE_S


@pytest.mark.parametrize(
    "messages",
    [
        (b"\x01\x02",),
        (b"",),
        (f'45["message",{PLACE}]', b"\x01"),
        (f'451["message",{PLACE}]', b"\x01"),
        (f'45-["message",{PLACE}]', b"\x01"),
        (f'45x-["message",{PLACE}]', b"\x01"),
        (f'45-1-["message",{PLACE}]', b"\x01"),
        (f'45999999999999-["message",{PLACE}]', b"\x01"),
        (f'4511-["message",{PLACE}]', b"\x01"),
        (f'451-["message",{PLACE}]', '42["message","not an attachment"]'),
        (f'451-["message",{PLACE}]', "41"),
        ('451-["message",{"_placeholder":true,"num":1}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":-1}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":"0"}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":0.5}]', b"\x01"),
        ('451-["message",{"_placeholder":true,"num":null}]', b"\x01"),
        ('451-["message",{"_placeholder":true}]', b"\x01"),
        ("451-{}", b"\x01"),
        ("451-[]", b"\x01"),
        ("451-", b"\x01"),
        (f'451-["disconnect",{PLACE}]', b"\x01"),
        (f"451-[{PLACE}]", b"\x01"),
        (f'451-abc["message",{PLACE}]', b"\x01"),
        (f"461-[{PLACE}]", b"\x01"),
        ('461-1{"a":' + PLACE + "}", b"\x01"),
        (f'451-/random,["message",{PLACE}]', b"\x01"),
        (f'451-["message",{PLACE}]', b"\x01", b"\x02"),
    ],
    ids=lambda messages: " ".join(str(message)[:45] for message in messages),
)
async def test_attachments_that_do_not_fit_close(
    web: aiohttp.ClientSession, address: str, messages: tuple[str | bytes, ...]
) -> None:
    assert await seconds_to_close(lambda: Socket.connect(web, address), *messages) < AT_ONCE_S


@pytest.mark.parametrize(
    "messages",
    [
        ('451-["message","no place"]', b"\x01"),
        (f'451-["message",{PLACE},{PLACE}]', b"\x01"),
        (f'450-["message",{PLACE}]',),
        (f'42["message",{PLACE}]',),
        ('42["message",' + "1" * 10_000 + "]",),
        ('42["message","\\ud800"]',),
        ('42["message","\\u0000"]',),
        ('42["message",{"__proto__":{"a":1}}]',),
        ('42["' + "m" * 100_000 + '"]',),
        ('42["_trigger_event",1]',),
        ("42[1,2]",),
        ('40/custom,{"token":' + '"x"' * 1 + "}", '42/custom,["message"]'),
        tuple(f"40/room{number}," for number in range(200)),
    ],
    ids=lambda messages: " ".join(str(message)[:45] for message in messages[:2]),
)
async def test_what_is_merely_odd_harms_nobody(
    web: aiohttp.ClientSession, address: str, messages: tuple[str | bytes, ...]
) -> None:
    """It may be answered, ignored or closed for; the bystander and the log tell whether it did harm."""
    socket = await Socket.connect(web, address)
    await socket.send(*messages)
    try:
        await socket.receive_answering(AT_ONCE_S)
    except (AssertionError, TimeoutError):
        pass  # closed, or nothing to say
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
async def test_a_broken_frame_closes_with_its_code(echo: EchoServer, name: str) -> None:
    data, codes = FRAMES[name]
    best_s = LIMIT_S
    for _ in range(TRIES):
        async with await RawSocket.open(echo.port, TARGET) as socket:
            socket.write(data)
            taken_s, code = await socket.closed_after_s()
        assert code in codes
        best_s = min(best_s, taken_s)
    assert best_s < AT_ONCE_S


async def test_a_message_at_the_limit_is_taken(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.connect(web, address)
    frame = '42["message","' + "x" * (MAX_BYTES - 16) + '"]'
    assert len(frame) == MAX_BYTES
    await socket.send(frame)
    assert str(await socket.receive_answering()).startswith('42["message-back","xxx')
    await socket.close()


async def test_a_message_above_the_limit_closes(web: aiohttp.ClientSession, address: str) -> None:
    socket = await Socket.connect(web, address)
    await socket.send("4" * (MAX_BYTES + 1))
    await socket.closed_after_s()
    assert socket.close_code in (1009, 1006)


@pytest.mark.parametrize("cut", [1, 2, 5, 9, 300])
async def test_a_connection_that_is_cut_inside_a_frame_is_forgotten(echo: EchoServer, cut: int) -> None:
    async with await RawSocket.open(echo.port, TARGET) as socket:
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
    web: aiohttp.ClientSession, address: str, body: bytes
) -> None:
    best_s = LIMIT_S
    for _ in range(TRIES):
        session = await Polling.connect(web, address)
        start_s = asyncio.get_running_loop().time()
        status, _ = await session.post(body)
        assert status == 400
        while not await session.is_closed():
            assert asyncio.get_running_loop().time() - start_s < LIMIT_S, (
                "what was answered before comes once"
            )
        best_s = min(best_s, asyncio.get_running_loop().time() - start_s)
        if best_s < AT_ONCE_S:
            break
    assert best_s < AT_ONCE_S


async def test_garbage_ends_the_waiting_poll(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    waiting = asyncio.create_task(session.get())
    await asyncio.wait({waiting}, timeout=0.02)
    assert (await session.post("abc"))[0] == 400
    async with asyncio.timeout(AT_ONCE_S * TRIES):
        await waiting
    assert await session.is_closed()


async def test_an_oversized_body_closes_the_session(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)
    try:
        status, _ = await session.post(b"4" * (MAX_BYTES + 1))
        assert status in (400, 413)
    except aiohttp.ClientOSError:
        pass  # answered and closed while the rest was on its way
    await session.get()
    assert await session.is_closed()


async def test_a_body_without_an_end_closes_the_session(web: aiohttp.ClientSession, address: str) -> None:
    session = await Polling.open(web, address)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"4" * 65_536

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
    web: aiohttp.ClientSession, echo: EchoServer, headers: dict[str, str]
) -> None:
    session = await Polling.open(web, echo.address)
    target = f"{echo.path}?EIO=4&transport=polling&sid={session.sid}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head_lines = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n{lines}"
    async with half_request(echo.port, head_lines, b"40"):
        await session.get()


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"5\r\n40", b"-1\r\n\r\n", b"ffffffffffffffffff\r\n"])
async def test_broken_chunks_harm_nobody(web: aiohttp.ClientSession, echo: EchoServer, chunks: bytes) -> None:
    session = await Polling.open(web, echo.address)
    target = f"{echo.path}?EIO=4&transport=polling&sid={session.sid}"
    head_lines = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    async with half_request(echo.port, head_lines, chunks):
        await session.get()


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
async def test_what_is_not_http_harms_nobody(echo: EchoServer, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
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
async def test_a_broken_handshake_is_refused(echo: EchoServer, headers: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
    writer.write(
        f"GET {TARGET} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}\r\n".encode()
    )
    async with asyncio.timeout(LIMIT_S):
        line = await reader.readline()
    assert line.split()[1] in (b"400", b"426"), line
    writer.close()
    await writer.wait_closed()
