"""Rooms full of the largest messages that are allowed: whoever can read can join, over a narrow network, too."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.protocol import entry
from tests.support.clients import Member, Transport
from tests.support.gateways import Gateway
from tests.support.waiting import until

MESSAGES, CHARACTERS = 100, 4096
TEXTS = {"emoji": "\U0001f600", "control characters": "\x01", "Chinese": "茶"}
RECEIVE_BUFFER_BYTES, SEGMENT_BYTES, READ_BYTES = 4096, 1460, 16_384


def text(number: int, letter: str) -> str:
    """One of the largest messages, that begins with its number."""
    return f"{number:03}{letter * (CHARACTERS - 3)}"


@asynccontextmanager
async def narrow(port: int) -> AsyncIterator[str]:
    """The gateway behind a network with small segments and a small window: what is unsent waits in the gateway."""
    tasks: set[asyncio.Task[None]] = set()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(READ_BYTES):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near = socket.socket()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        near.setblocking(False)
        await asyncio.get_running_loop().sock_connect(near, ("127.0.0.1", port))
        far_reader, far_writer = await asyncio.open_connection(sock=near, limit=RECEIVE_BUFFER_BYTES)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(pump(source, sink))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fill(redis_url: str, room: str, letter: str) -> None:
    """What people have written, as it is stored."""
    client = redis.Redis.from_url(redis_url)
    await client.rpush(
        keys.history(room), *(entry(text(number, letter), "ann", number) for number in range(MESSAGES))
    )
    await client.aclose()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("letter", TEXTS.values(), ids=TEXTS)
async def test_a_room_full_of_the_largest_messages_can_be_joined_and_read(
    gateway: Gateway, redis_url: str, room: str, letter: str, transport: Transport
) -> None:
    await fill(redis_url, room, letter)
    async with narrow(gateway.port) as url, await Member.connect(gateway.url) as talker:
        await talker.join("talker", room)
        async with await Member.connect(url, transport, keep_alive=True) as reader:
            joining = asyncio.create_task(reader.call("join", {"username": "ben", "room": room}, 60))
            answer = await joining
            assert answer["ok"] is True
            await talker.send(room, "after")
            await until(lambda: reader.messages(room)[-1:] == ["after"], 30, "it is live")
            assert reader.messages(room) == [*(text(number, letter) for number in range(MESSAGES)), "after"]
            seqs = [int(one.rpartition(":")[2]) for one in reader.ids(room)]
            assert seqs == list(range(1, MESSAGES + 2))


async def test_what_is_sent_while_a_long_history_is_read_follows_it_without_a_gap(
    gateway: Gateway, redis_url: str, room: str
) -> None:
    await fill(redis_url, room, TEXTS["emoji"])
    async with narrow(gateway.port) as url, await Member.connect(gateway.url) as talker:
        await talker.join("talker", room)
        async with await Member.connect(url) as reader:
            joining = asyncio.create_task(reader.call("join", {"username": "ben", "room": room}, 60))
            sent = 0
            while not joining.done() and sent < 60:
                await talker.send(room, f"live {sent}")
                sent += 1
            await joining
            await talker.send(room, "after")
            await until(lambda: reader.messages(room)[-1:] == ["after"], 30, "it is live")
            assert reader.messages(room)[-sent - 1 :] == [
                *(f"live {number}" for number in range(sent)),
                "after",
            ]
            seqs = [int(one.rpartition(":")[2]) for one in reader.ids(room)]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_history_event_can_be_read_page_by_page(
    gateway: Gateway, redis_url: str, room: str, transport: Transport
) -> None:
    await fill(redis_url, room, TEXTS["control characters"])
    async with narrow(gateway.port) as url, await Member.connect(url, transport, keep_alive=True) as reader:
        await reader.call("join", {"username": "ben", "room": room}, 60)
        seen: list[str] = []
        before: dict[str, str] = {}
        for _ in range(MESSAGES):
            page = (await reader.call("history", {"room": room, **before}, 30))["messages"]
            seen = [message["message"][:3] for message in page] + seen
            if not page or len(seen) >= MESSAGES:
                break
            before = {"before": page[0]["id"]}
        assert seen == [f"{number:03}" for number in range(MESSAGES)]
