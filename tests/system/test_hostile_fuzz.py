"""Random frames, payloads and requests from several seeds: no worker ends, no traceback, no memory that stays.

`HOSTILE_FRAMES` says how many frames each seed sends (100,000); `pytest -m long tests/system/test_hostile_fuzz.py`.
"""

from __future__ import annotations

import asyncio
import os
from random import Random

import psutil
import pytest

from gateway.websocket.deflate import compress
from loadtest.hostile.kinds import BINARY, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, deflated, frame
from tests.support.gateways import Gateway
from tests.support.waiting import until

FRAMES = int(os.environ.get("HOSTILE_FRAMES", "100000"))
AT_ONCE = 50
SHORT = {
    "GATEWAY_LOG_LEVEL": "error",
    "GATEWAY_PING_INTERVAL_S": "2",
    "GATEWAY_PING_TIMEOUT_S": "2",
    "GATEWAY_CONNECT_TIMEOUT_S": "2",
    "GATEWAY_GRACE_S": "1",
}
GROWTH_BYTES = 16 << 20
"""Resident memory by which a worker may grow from the middle of a run to its end, once the time-outs of its sessions
are over: until then (25 s by default, 2 s here) a session that ended is remembered."""
WORDS = (
    b"42", b"40", b"41", b"43", b"45", b"4", b"3", b"2", b"1", b"0", b"[", b"]", b"{", b"}", b'"', b",", b"-", b"/x,",
    b"send", b"join", b"leave", b"members", b"history", b'"room":"r"', b'"username":"u"', b'"message":"m"', b"null",
    b"\xff", "é😀".encode(), b"\x1e", b"b", b"AQID", b'{"_placeholder":true,"num":0}', b"1" * 20, b"[" * 300,
    b'42["send",{"room":"r","username":"u","message":"m"}]', b'421["join",{"room":"r","username":"u"}]', b"42[0]",
    b'451-["x",{"_placeholder":true,"num":0}]',
)  # fmt: skip

HEADS = (
    b"GET / HTTP/1.1", b"POST /socket.io/?EIO=4 HTTP/1.1", b"\x16\x03\x01", b"GET /socket.io/?EIO=4&sid=%ff&x HTTP/1.1",
    b"PUT /socket.io/?transport=polling&EIO=4&sid=a.b HTTP/1.1", b"GET /%2e%2e/ HTTP/9.9",
)  # fmt: skip
LINES = (
    b"Host: x", b"Content-Length: -1", b"Content-Length: 5", b"Transfer-Encoding: chunked", b": y",
    b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: x",
    b"X: " + b"y" * 9000, b"\xff: \xff", b"Expect: 100-continue",
)  # fmt: skip


BENIGN = (
    b"42[0]", b'42["x"]', b'427["send",{"room":"r","username":"u","message":"m"}]',
    b'421["join",{"room":"r","username":"u"}]',
    b'422["members",{"room":"r"}]', b'423["history",{"room":"r","limit":3}]', b'42["leave",{"room":"r"}]', b"431[]",
)  # fmt: skip
"""Packets that do not end the connection, so that others come after them."""


def packet(random: Random) -> bytes:
    """Something that looks a little like a packet."""
    return b"".join(random.choice(WORDS) for _ in range(random.choice((1, 1, 1, 2, 5, 12))))


def any_frame(random: Random) -> bytes:
    """A frame: mostly one that is well made, now and then compressed, in fragments, of control, or nonsense."""
    if random.random() < 0.95:
        return frame(TEXT, random.choice(BENIGN))
    payload = packet(random)
    match random.randrange(20):
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
        case 5 if random.random() < 0.1:
            return random.randbytes(random.randint(1, 300))
    return frame(TEXT, payload)


async def over_websocket(port: int, random: Random, frames: int, is_compressing: bool) -> None:
    """Frames on one connection after the other, each for as long as it lives."""
    extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if is_compressing else ""
    while frames > 0:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{extension}"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        writer.write(frame(TEXT, b"40"))
        reading = asyncio.ensure_future(reader.read(-1))
        good = [frame(TEXT, random.choice(WORDS[-4:-1])) for _ in range(random.choice((0, 30, 3000)))]
        writer.write(b"".join(good))
        frames -= len(good)
        while frames > 0 and not reading.done() and not writer.is_closing():
            batch = [any_frame(random) for _ in range(random.choice((1, 5, 100)))]
            writer.write(b"".join(batch))
            frames -= len(batch)
            try:
                async with asyncio.timeout(0.05):
                    await writer.drain()
                    await asyncio.shield(reading)
            except (TimeoutError, ConnectionError):
                break
        writer.transport.abort()
        await asyncio.gather(reading, return_exceptions=True)


async def over_polling(port: int, random: Random, frames: int) -> None:
    """Payloads to sessions of its own."""
    while frames > 0:
        opened = await request(port, b"GET /socket.io/?EIO=4&transport=polling")
        sid = opened.partition(b'"sid":"')[2].partition(b'"')[0]
        for body in (b"40", *(random.choice((b"\x1e", b"")).join(payload(random)) for _ in range(3))):
            frames -= body.count(b"\x1e") + 1
            await request(port, b"POST /socket.io/?EIO=4&transport=polling&sid=" + sid, body)
        await request(port, b"GET /socket.io/?EIO=4&transport=polling&sid=" + sid[: random.randint(0, 40)])


def payload(random: Random) -> list[bytes]:
    """The packets of a payload."""
    return [packet(random) for _ in range(random.choice((1, 20, 2000)))]


async def over_http(port: int, random: Random, frames: int) -> None:
    """Requests with something wrong in them, and bytes that are none."""
    for _ in range(frames):
        chosen = [random.choice(HEADS), *random.choices(LINES, k=random.randint(0, 6)), b"", packet(random)]
        await raw(port, b"\r\n".join(chosen))


async def request(port: int, line: bytes, body: bytes = b"") -> bytes:
    """One request on a connection of its own, with the beginning of its answer."""
    head = b"%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (line, len(body))
    return await raw(port, head + body, 2.0)


async def raw(port: int, data: bytes, limit_s: float = 0.02) -> bytes:
    """Sends bytes, reads what comes soon, and cuts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(limit_s):
            return await reader.read(2000)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("compression", ["off", "on"])
async def test_nothing_that_is_sent_ends_a_worker_or_stays(
    redis_url: str, seed: int, compression: str
) -> None:
    async with Gateway(redis_url, 1, environment=SHORT, GATEWAY_COMPRESSION=compression) as gateway:
        (pid,) = gateway.worker_pids()
        worker, port = psutil.Process(pid), gateway.port

        async def run(frames: int, salt: int) -> None:
            share = frames // AT_ONCE
            async with asyncio.TaskGroup() as group:
                for number in range(AT_ONCE):
                    random = Random(f"{seed} {salt} {number}")
                    if number % 10 == 8:
                        group.create_task(over_polling(port, random, share))
                    elif number % 10 == 9:
                        group.create_task(over_http(port, random, share // 100))
                    else:
                        group.create_task(over_websocket(port, random, share, compression == "on"))

        await run(FRAMES // 2, 0)  # it has what so many sessions need that ended a moment ago
        await until(
            lambda: len(worker.net_connections()) < 12, 60, "the connections of the first half are gone"
        )
        before = worker.memory_info().rss
        await run(FRAMES - FRAMES // 2, 1)
        await until(lambda: len(worker.net_connections()) < 12, 60, "all connections are gone")
        await until(
            lambda: worker.memory_info().rss - before < GROWTH_BYTES, 15, "what sessions took is given back"
        )
        after = worker.memory_info().rss
        sizes = f"{before >> 10} KiB in the middle, {after >> 10} KiB at the end"
        print(f"seed {seed}, compression {compression}: {FRAMES} frames, {sizes}")
        assert gateway.worker_pids() == [pid]
        assert "Traceback" not in gateway.log()
        assert await gateway.is_ready()
