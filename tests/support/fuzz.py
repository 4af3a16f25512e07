"""What the fuzz sends, and three ways to send it: over WebSocket, over polling, as HTTP.

Owns the clients. Most of what they send is refused and costs its sender little, at a pace that is forgiven; so a
connection lives and what is sent is read. Now and then comes something that ends it. Everything follows from seeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from gateway.websocket.deflate import compress
from loadtest.hostile.kinds import BINARY, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, deflated, frame

BATCH = 40
"""Messages that are sent at once: fewer than make a connection slow (`transport/conduct.py`)."""
PAUSE_S = 0.25
"""Between two batches of one connection: its refusals are forgiven meanwhile."""
BATCHES = 60
"""Batches of one connection at most: less than the time in which it has to answer a ping, which it does not."""
PAYLOADS = 10
"""The same over polling."""
LIFE_S = 20.0
"""Longest life of a connection; then it is given up, as it does not answer pings."""
READ_MAX_BYTES = 1 << 22

WORDS = (
    b"42", b"40", b"41", b"43", b"45", b"4", b"3", b"2", b"1", b"0", b"[", b"]", b"{", b"}", b'"', b",", b"-", b"/x,",
    b"send", b"join", b"leave", b"members", b"history", b"signal", b"read", b"unread", b'"room":"r"',
    b'"username":"u"', b'"message":"m"', b"null",
    b"\xff", "é😀".encode(), b"\x1e", b"b", b"AQID", b'{"_placeholder":true,"num":0}', b"1" * 20, b"[" * 300,
    b'42["send",{"room":"r","username":"u","message":"m"}]', b'421["join",{"room":"r","username":"u"}]', b"42[0]",
    b'451-["x",{"_placeholder":true,"num":0}]',
)  # fmt: skip
MEEK = (
    b"42[0]", b'42["x"]', b'427["send",{"room":1}]', b'42["send",{"room":"r","username":"u","message":"m"}]',
    b'422["members",{"room":"elsewhere"}]', b'423["history",{"room":"elsewhere","limit":3}]', b'42["leave",{}]',
    b'42["join",{"room":"{","username":"u"}]', b'42["x","' + "é😀".encode() * 200 + b'"]', b'42["send",null]',
    b'421["join",{"username":"ChatBot","room":"r"}]', b'42/,["x"]', b'42["' + b"y" * 3000 + b'"]', b'42["\\ud83d"]',
    b'429["history",{"room":"r","limit":0}]', b'42["history",{"room":"r","before":"x"}]', b"42[1e999]",
    b'421["unread",{"rooms":["elsewhere","\\u0000"]}]', b'42["read",{"room":"elsewhere","id":"e:1"}]',
    b'42["signal",{"room":"elsewhere","kind":"k","data":1e999}]', b'42["send",{"room":"r","message":"m","meta":[1]}]',
)  # fmt: skip
"""Packets that are refused, and do not end the connection."""
DONE, DONE_ANSWER = b'425550["done"]', b"435550["
"""The last packet of a batch, and the beginning of its answer: all before it was read."""

HEADS = (
    b"GET / HTTP/1.1", b"POST /socket.io/?EIO=4 HTTP/1.1", b"\x16\x03\x01", b"GET /socket.io/?EIO=4&sid=%ff&x HTTP/1.1",
    b"PUT /socket.io/?transport=polling&EIO=4&sid=a.b HTTP/1.1", b"GET /%2e%2e/ HTTP/9.9",
)  # fmt: skip
LINES = (
    b"Host: x", b"Content-Length: -1", b"Content-Length: 5", b"Transfer-Encoding: chunked", b": y",
    b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: x",
    b"X: " + b"y" * 9000, b"\xff: \xff", b"Expect: 100-continue",
)  # fmt: skip

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
IsEnough = Callable[[], bool]
"""Whether the server has read as much as it is to read."""


def packet(random: Random) -> bytes:
    """Something that looks a little like a packet."""
    return b"".join(random.choice(WORDS) for _ in range(random.choice((1, 1, 1, 2, 5, 12))))


def meek_frames(random: Random, is_compressing: bool) -> bytes:
    """A message that is refused: whole, in fragments, compressed, or with attachments."""
    payload = random.choice(MEEK)
    match random.randrange(24):
        case 0:
            return frame(TEXT, payload[:70].ljust(70), 0) + frame(CONTINUATION, payload[70:])
        case 1 if is_compressing:
            return deflated(payload)
        case 2:
            places = b",".join(b'{"_placeholder":true,"num":%d}' % number for number in range(10))
            attachments = (frame(BINARY, random.randbytes(random.choice((0, 1, 300)))) for _ in range(10))
            return frame(TEXT, b'4510-["x",%b]' % places) + b"".join(attachments)
    return frame(TEXT, payload)


def wild_frame(random: Random) -> bytes:
    """A frame that may end the connection: of control, in fragments that fit nothing, half compressed, or nonsense."""
    payload = packet(random)
    match random.randrange(9):
        case 0:
            return frame(random.choice((PING, PONG)), payload[:125])
        case 1:
            return frame(TEXT, payload, 0) + frame(CONTINUATION, packet(random), random.choice((0, FIN)))
        case 2:
            return frame(BINARY, payload)
        case 3:
            return deflated(payload * random.choice((1, 1, 500)))
        case 4:
            return frame(TEXT, compress(payload)[: random.randint(0, 9)], FIN | RSV1)
        case 5:
            return random.randbytes(random.randint(1, 300))
        case 6:
            return frame(TEXT, random.choice(MEEK)) * 3000
        case 7:
            return frame(TEXT, payload)[: random.randint(1, 30)]
    return frame(TEXT, payload)


def batches(random: Random, is_compressing: bool) -> list[bytes]:
    """Batches of frames that are all refused, for all connections to choose from."""
    return [b"".join(meek_frames(random, is_compressing) for _ in range(BATCH)) for _ in range(200)]


async def over_websocket(
    port: int, random: Random, is_enough: IsEnough, blocks: list[bytes], is_compressing: bool
) -> None:
    """One connection after the other, each for some batches."""
    room = b"room %d" % random.randrange(1 << 30)
    said = frame(TEXT, b'42["send",{"room":"%b","message":"m"}]' % room) + frame(TEXT, DONE)
    while not is_enough():
        try:
            reader, writer = await _opened(port, room, is_compressing)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            continue
        try:
            async with asyncio.timeout(LIFE_S):
                for _ in range(random.randint(1, BATCHES)):
                    writer.write(random.choice(blocks) + said)
                    await reader.readuntil(DONE_ANSWER)
                    await asyncio.sleep(PAUSE_S)
                    if is_enough():
                        break
                writer.write(b"".join(wild_frame(random) for _ in range(random.choice((0, 1, 1, 5)))))
                await writer.drain()
                await asyncio.sleep(random.choice((0, PAUSE_S)))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # it was ended
        writer.transport.abort()


async def _opened(port: int, room: bytes, is_compressing: bool) -> Streams:
    """A client that is in a room of its own."""
    extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if is_compressing else b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=READ_MAX_BYTES)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n%b"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % extension
    )
    writer.write(frame(TEXT, b"40") + frame(TEXT, b'421["join",{"username":"u","room":"%b"}]' % room))
    try:
        async with asyncio.timeout(LIFE_S):
            await reader.readuntil(b"40{")
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def over_polling(port: int, random: Random, is_enough: IsEnough) -> None:
    """One session after the other, each with some payloads, over one connection."""
    while not is_enough():
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=READ_MAX_BYTES)
        try:
            async with asyncio.timeout(LIFE_S):
                await _session_over_polling((reader, writer), random)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # it was ended
        writer.transport.abort()


async def _session_over_polling(streams: Streams, random: Random) -> None:
    opened = await request(streams, b"GET", b"")
    session = b"&sid=" + opened.partition(b'"sid":"')[2].partition(b'"')[0]
    await request(streams, b"POST", session, b"40")
    await request(streams, b"GET", session)
    for _ in range(random.randint(1, PAYLOADS)):
        meek = (random.choice(MEEK) for _ in range(BATCH))
        await request(streams, b"POST", session, b"\x1e".join(meek))
        for _ in range(random.choice((0, 1, 2))):
            await request(streams, b"GET", session)
        await asyncio.sleep(PAUSE_S)
    wild = (packet(random) for _ in range(random.choice((1, 1, 20, 2000))))
    await request(streams, b"POST", session, random.choice((b"\x1e", b"")).join(wild))
    await request(streams, b"GET", session[: random.randint(0, 40)])


async def request(streams: Streams, method: bytes, query: bytes, body: bytes = b"") -> bytes:
    """The body of the answer to one request."""
    reader, writer = streams
    line = b"%b /socket.io/?EIO=4&transport=polling%b HTTP/1.1" % (method, query)
    writer.write(b"%b\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (line, len(body), body))
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r")[0]
    return await reader.readexactly(int(length or 0))


async def over_http(port: int, random: Random, is_enough: IsEnough) -> None:
    """Requests with something wrong in them, and bytes that are none."""
    while not is_enough():
        chosen = [random.choice(HEADS), *random.choices(LINES, k=random.randint(0, 6)), b"", packet(random)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"\r\n".join(chosen))
            async with asyncio.timeout(PAUSE_S / 10):
                await reader.read(2000)
        except (ConnectionError, TimeoutError):
            pass  # it says nothing, or was ended
        finally:
            writer.transport.abort()
