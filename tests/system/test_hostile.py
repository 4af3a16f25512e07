"""One hostile connection beside honest members, seen from outside: it ends, and they do not notice.

What is counted (messages in a turn, writes of a batch) is tested in `tests/transport`; how long people wait is
measured by `python -m loadtest.hostile`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from loadtest.hostile.attacker import Attack
from loadtest.hostile.kinds import KINDS, TEXT, Kind, deflated, frame
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until

LIMIT_S = 30.0
WHY = b"what no honest client sends"
ENDED = ("42[0]", "empty PINGs", "full PINGs", "unasked PONGs", "unasked Engine.IO pongs", "refused sends",
         "refused sends with ack", "empty fragments", "one-byte fragments", "acknowledgements of nothing",
         "unknown namespaces", "compressed bombs", "compressed 42[0]")  # fmt: skip

SERVED_SLOWLY = ("pipelined /healthz", "polled refused sends")
"""What is still served, slowly, after all others were ended: nothing of it is refused, or each asks Redis first."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(redis_url: str) -> AsyncIterator[Gateway]:
    """One worker with compression, so that all connections share it."""
    async with Gateway(redis_url, workers=1, GATEWAY_COMPRESSION="on", GATEWAY_GRACE_S="1") as running:
        yield running


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connected Socket.IO client, raw."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"0{")
    writer.write(frame(TEXT, b"40"))
    await reader.readuntil(b"40{")
    return reader, writer


async def flood(port: int, kind: Kind) -> bytes:
    """Sends blocks of a kind until the connection is told that it is ended; the last bytes that came."""
    reader, writer = await opened(port)
    writer.write(kind.first)
    last = b""

    async def read() -> None:
        nonlocal last
        while WHY not in last and (data := await reader.read(1 << 20)):
            last = (last + data)[-200:]

    async with asyncio.timeout(LIMIT_S):
        reading = asyncio.create_task(read())
        try:
            while not reading.done():
                writer.write(kind.block)
                await asyncio.wait(
                    (asyncio.ensure_future(writer.drain()), reading), return_when=asyncio.FIRST_COMPLETED
                )
        except ConnectionError:
            pass
        await asyncio.wait((reading,))
    writer.transport.abort()
    return last


@pytest.mark.parametrize("name", ENDED)
async def test_a_flood_of_what_no_honest_client_sends_ends_and_nobody_else_notices(
    alone: Gateway, connect: Opener, room: str, name: str
) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == name)
    ada, ben = await connect(alone.url), await connect(alone.url)
    for username, member in (("ada", ada), ("ben", ben)):
        await member.join(username, room)
    flooding = asyncio.create_task(flood(alone.port, kind))
    sent = 0
    while not flooding.done():
        await ada.send(room, f"{sent}")
        sent += 1
    assert WHY in await flooding
    await until(lambda: ben.messages(room) == [f"{number}" for number in range(sent)], what="every message")
    assert "Traceback" not in alone.log()


OVER_HTTP = tuple(kind for kind in KINDS if kind.transport != "websocket")


@pytest.mark.long
async def test_floods_over_http_all_at_once_are_ended_and_nobody_else_notices(
    alone: Gateway, connect: Opener, room: str
) -> None:
    ada, ben = await connect(alone.url), await connect(alone.url)
    for username, member in (("ada", ada), ("ben", ben)):
        await member.join(username, room)
    attacks = [Attack(alone.port, kind, 0) for kind in OVER_HTTP]
    tasks = []
    for attack in attacks:
        attack.go.set()
        tasks.append(asyncio.create_task(attack.keep_on(asyncio.Event())))
    sent = 0
    async with asyncio.timeout(LIMIT_S):
        while not all(attack.done.ended for attack in attacks if attack.kind.name not in SERVED_SLOWLY):
            await ada.send(room, f"{sent}")
            sent += 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: ben.messages(room) == [f"{number}" for number in range(sent)], what="every message")
    assert "Traceback" not in alone.log()


async def test_who_flushes_1000_buffered_sends_before_it_joins_again_goes_on(
    alone: Gateway, connect: Opener, room: str
) -> None:
    member = await connect(alone.url)
    await asyncio.gather(
        *(member.emit("send", {"username": "ada", "room": room, "message": f"{n}"}) for n in range(1000))
    )
    await until(lambda: len(member.errors) == 1000, what="each is answered")
    await member.join("ada", room)
    await asyncio.gather(*(member.send(room, f"{number}") for number in range(1000)))
    await until(lambda: len(member.messages(room)) == 1000, what="its messages")
    assert member.messages(room) == [f"{number}" for number in range(1000)]


async def test_100_joins_at_once_are_not_hurt(alone: Gateway, connect: Opener, room: str) -> None:
    member = await connect(alone.url)
    answers = await asyncio.gather(*(member.join("ada", f"{room}-{number}") for number in range(100)))
    assert [answer["ok"] for answer in answers] == [True] * 100


async def test_attachments_announced_without_a_connect_close_at_once(alone: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", alone.port)
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"0{")
    writer.write(frame(TEXT, b'459-["x"' + b',{"_placeholder":true,"num":0}' * 9 + b"]"))
    async with asyncio.timeout(5):
        await reader.readuntil((1002).to_bytes(2))
    writer.close()


def test_a_bomb_is_small_on_the_wire() -> None:
    assert len(deflated(b"a" * 65_000)) < 100
