"""`gateway.client` against a real gateway, while it breaks: what is shown equals the history, always.

Each test has a watcher, who only reads, and a sender. What the sender was told is stored must be in the history exactly
once; what the watcher's events brought, without a reload, must be each message once and in order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.client import Chat, ChatError, Message, Pending, Received, Reloaded, Room, connect
from tests.support.gateways import LIMITED, Gateway
from tests.support.identified import with_secrets
from tests.support.servers import Valkey
from tests.support.tokens import signed
from tests.support.topologies import sentinels
from tests.support.waiting import until
from tests.system.faults.proxy import Proxy

pytestmark = pytest.mark.system

WAYS: dict[str, list[str] | None] = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": None}
SETTLE_S = 40.0


class Party:
    """A watcher and a sender in one room."""

    def __init__(self, watcher: Room, sender: Room) -> None:
        self.watcher, self.sender = watcher, sender
        self.said: list[Pending] = []
        self.heard: list[Message] = []
        self.reloads: list[Reloaded] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.watcher.events():
            if isinstance(event, Received):
                self.heard.append(event.message)
            elif isinstance(event, Reloaded):
                self.reloads.append(event)

    async def talk(self, count: int, pause_s: float = 0.02) -> None:
        """Says so many numbered messages."""
        for _ in range(count):
            self.said.append(self.sender.send(f"{len(self.said)}"))
            await asyncio.sleep(pause_s)  # the rhythm of the traffic

    async def settle(self) -> list[str]:
        """Waits until all is answered, and judges. Returns the texts of the history."""
        async with asyncio.timeout(SETTLE_S):
            ids = [await each for each in self.said]
        await until(lambda: self.watcher.is_live and self.sender.is_live, SETTLE_S, "both are in")
        history: list[Message] = []

        async def is_level() -> bool:
            history[:] = await self.sender.history()
            return self._last(self.watcher) == self._last(self.sender) == (history[-1].id if history else "")

        await until(is_level, SETTLE_S, "both have the last message")
        for room in (self.watcher, self.sender):
            assert room.messages[-len(history) :] == history
            shown = [each.id for each in room.messages]
            assert len(set(shown)) == len(shown)
        assert not self.sender.pending
        kept = [(each.id, each.text) for each in self.watcher.messages]
        stored = list(zip(ids, (each.text for each in self.said), strict=True))
        assert kept == stored[-len(kept) :], "none lost, none doubled, in the order in which they were said"
        return [each.text for each in history]

    def heard_each_once(self) -> None:
        """The events brought each message once, in order, and there was no reload after the first join."""
        assert [each.text for each in self.heard] == [each.text for each in self.said]
        assert [each.is_missing_some for each in self.reloads] in ([], [False])

    @staticmethod
    def _last(room: Room) -> str:
        return room.messages[-1].id if room.messages else ""

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])


@asynccontextmanager
async def party(url: str, room: str, way: str = "websocket", **more: str) -> AsyncIterator[Party]:
    transports = WAYS[way]
    ada = connect(url, username="Ada", transports=transports)
    bob = connect(more.get("other_url", url), username="Bob", transports=transports)
    watcher, sender = bob.room(room), ada.room(room)
    async with ada, bob:
        made = Party(watcher, sender)
        await asyncio.gather(watcher.joined(), sender.joined())
        try:
            yield made
        finally:
            await made.close()


async def kill_workers(gateway: Gateway, members: Party) -> None:
    for _ in range(2):
        for pid in gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)
            await members.talk(10)
            await gateway.until_ready()


async def drain(gateway: Gateway, members: Party) -> None:
    os.kill(gateway.master_pid, signal.SIGHUP)
    await members.talk(40)
    await gateway.until_ready()


Fault = Callable[[Gateway, Party], Awaitable[None]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", [kill_workers, drain])
async def test_what_is_shown_equals_the_history_while_workers_end(
    redis_url: str, room: str, fault: Fault, way: str
) -> None:
    async with Gateway(redis_url, workers=2, GATEWAY_GRACE_S="1") as gateway, party(gateway.url, room, way) as both:
        await both.talk(5)
        await fault(gateway, both)
        await both.talk(5)
        await both.settle()
        both.heard_each_once()
