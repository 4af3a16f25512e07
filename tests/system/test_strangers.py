"""What strangers cost: who has not said who it is, and who only looks into rooms."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import psutil
import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.server.app import build_app
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.serving import serving, settings
from tests.support.waiting import until

CONNECT_S = 0.5
QUERY = "/socket.io/?EIO=4&transport="


async def test_who_does_not_connect_is_ended_and_an_empty_room_stays_while_somebody_is_in(
    redis_url: str, room: str, connect: Opener
) -> None:
    given = settings(
        redis_url, GATEWAY_CONNECT_TIMEOUT_S=str(CONNECT_S), GATEWAY_EMPTY_ROOM_TTL_S="1", GATEWAY_GRACE_S="0"
    )
    async with serving(build_app(given)) as url, aiohttp.ClientSession() as web:
        member = await connect(url)
        first = await member.join("ann", room)
        begun_s = time.monotonic()
        async with web.ws_connect(f"{url}{QUERY}websocket") as websocket:
            assert (await websocket.receive()).data.startswith("0{")
            ended = await websocket.receive(timeout=10)
            assert ended.data == "1" or ended.type is aiohttp.WSMsgType.CLOSE
        assert time.monotonic() - begun_s >= CONNECT_S * 0.9
        async with web.get(f"{url}{QUERY}polling") as opened:
            sid = (await opened.text()).split('"sid":"')[1].split('"')[0]
        async with web.get(f"{url}{QUERY}polling&sid={sid}") as poll:
            assert (poll.status, await poll.text()) == (200, "1")
        async with web.get(f"{url}{QUERY}polling&sid={sid}") as poll:
            assert poll.status == 400
        await asyncio.sleep(
            max(0.0, begun_s + 1.6 - time.monotonic())
        )  # longer than the time of an empty room
        store = redis.Redis.from_url(redis_url)
        assert await store.exists(keys.meta(room)), "renewed by the worker"
        other = await connect(url)
        assert (await other.join("ben", room))["id"] == first["id"]
        await member.close()
        await other.close()

        async def is_gone() -> bool:
            return not await store.exists(keys.meta(room))

        await until(is_gone, 20, "nobody is in, and nothing was said")
        await store.aclose()


MANY = 1500
MOST_BYTES = 20_000
"""Of a connection that has said nothing but its WebSocket handshake; the kernel's part is not in it."""


@pytest.mark.long
@pytest.mark.system
async def test_a_connection_that_has_said_nothing_costs_little(redis_url: str) -> None:
    """Prints bytes of the worker's memory for each: with a WebSocket alone, then after CONNECT."""
    options = {"GATEWAY_CONNECT_TIMEOUT_S": "120", "GATEWAY_LOG_LEVEL": "warning"}
    async with Gateway(redis_url, workers=1, environment=options) as gateway:
        (pid,) = gateway.worker_pids()
        worker = psutil.Process(pid)
        used = [worker.memory_info().rss]
        handshake = (
            f"GET {QUERY}websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ).encode()
        rounds = []
        for _ in range(3):  # the first one also pays for what a worker keeps in store
            links = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(MANY)]
            for reader, writer in links:
                writer.write(handshake)
                await reader.readuntil(b"}")
            used.append(worker.memory_info().rss)
            for reader, writer in links:
                writer.write(b"\x81\x82\0\0\0\0" + b"40")
                await reader.readuntil(b"}")
            used.append(worker.memory_info().rss)
            rounds.append(links)
        silent = [(used[at] - used[at - 1]) / MANY for at in (1, 3, 5)]
        connected = [(used[at] - used[at - 1]) / MANY for at in (2, 4, 6)]
        print(f"bytes for each connection: silent {silent}, more after CONNECT {connected}")
        assert min(silent) < MOST_BYTES
        for links in rounds:
            for _, writer in links:
                writer.close()
