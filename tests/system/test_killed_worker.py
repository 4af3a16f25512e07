"""A worker killed under traffic: what was acknowledged is kept, survivors miss nothing, clients return."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.spread import one_on_each
from tests.support.steady_sender import SteadySender
from tests.support.stock_clients import PythonClient
from tests.support.waiting import until

ROOMS, RATE_EACH, STOCK_CLIENTS = 8, 10, 8
SOME = 8
"""Messages in each room before and after; the room's history holds a hundred, ten seconds of them."""


async def test_kill_9_under_traffic(redis_url: str, store: Any, room: str, connect: Opener) -> None:
    rooms = [f"{room}-{number}" for number in range(ROOMS)]
    async with Gateway(redis_url, workers=4) as gateway:
        watchers = await one_on_each(gateway, connect)
        stock = [PythonClient() for _ in range(STOCK_CLIENTS)]
        await asyncio.gather(*(client.connect(gateway.url, "upgrade") for client in stock))
        await asyncio.gather(*(w.join(f"w{n}", name) for n, w in enumerate(watchers) for name in rooms))
        senders = [await SteadySender(gateway.url, name, rate=RATE_EACH).__aenter__() for name in rooms]
        await until(lambda: min(sender.acknowledged for sender in senders) >= SOME, what="traffic runs")
        await until(lambda: all(w.ids(name) for w in watchers for name in rooms), what="all watchers hear it")

        os.kill(gateway.worker_pids()[0], signal.SIGKILL)
        await until(lambda: any(watcher.closed.is_set() for watcher in watchers), what="its sessions end")
        survivors = [watcher for watcher in watchers if not watcher.closed.is_set()]
        going_on = [sender for sender in senders if not sender.member.closed.is_set()]
        marks = {sender.room: sender.acknowledged for sender in going_on}
        await until(
            lambda: all(f.acknowledged > marks[f.room] + SOME for f in going_on), what="the others go on"
        )
        await asyncio.gather(*(sender.stop() for sender in senders))

        assert len(survivors) == 3
        for sender in senders:
            await _nothing_is_missing(sender, survivors, store)
        returned = await connect(gateway.url)
        lost = next(watcher for watcher in watchers if watcher.closed.is_set())
        await _misses_nothing_when_it_returns(lost, returned, survivors[0], rooms)
        await _stock_clients_are_all_there(stock, rooms[0])
        await until(lambda: len(gateway.worker_pids()) == 4, what="gunicorn replaces the worker")
        await asyncio.gather(
            *(client.close() for client in stock), *(each.member.close() for each in senders)
        )


async def _nothing_is_missing(sender: SteadySender, survivors: list[Member], store: Any) -> None:
    stored = [
        json.loads(entry)["message"] for entry in await store.lrange(f"chat_history_{sender.room}", 0, -1)
    ]
    assert len(stored) < 100, "the test sent more than history holds"
    await until(
        lambda: all(len(s.ids(sender.room)) >= len(stored) for s in survivors), what="all is delivered"
    )
    for survivor in survivors:
        assert survivor.messages(sender.room) == stored
        seqs = [int(position.split(":")[1]) for position in survivor.ids(sender.room)]
        assert seqs == list(range(1, len(stored) + 1))
        assert set(sender.ids) <= set(survivor.ids(sender.room)), "acknowledged, and not in history"
    assert sender.refused == []


async def _misses_nothing_when_it_returns(
    lost: Member, returned: Member, survivor: Member, rooms: list[str]
) -> None:
    for name in rooms:
        answer = await returned.join("returned", name, since=lost.ids(name)[-1])
        assert answer["recovered"] is True
        assert lost.ids(name) + returned.ids(name) == survivor.ids(name)


async def _stock_clients_are_all_there(stock: list[PythonClient], room: str) -> None:
    await until(
        lambda: all(client.is_connected for client in stock), what="stock clients are connected again"
    )
    for client in stock:
        assert (await client.call("join", {"username": "stock", "room": room}))["ok"] is True
