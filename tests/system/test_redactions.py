"""Ten thousand redactions while workers are killed: nobody who was connected, or came back with `since`, shows one.

The ledger has each redaction that was acknowledged. Each watcher shows what a page would: what it received, changed as
it was told, without what is no longer kept when it comes back. Run with -s for the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import redis.asyncio as redis

from tests.support.backends import Backend, backend, key_for
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.servers import Valkey

pytestmark = [pytest.mark.system, pytest.mark.long]

REDACTIONS = 10_000
ROOMS = 20
KEPT = 100
WORKERS = 4
KILL_EVERY_S = 3.0
LIMIT_S = 600.0
AWAY = (ConnectionError, aiohttp.ClientError, TimeoutError, ConnectionRefusedError)


class Watcher:
    """A page that shows one room, and comes back whenever its connection is gone."""

    def __init__(self, url: str, room: str, number: int) -> None:
        self._url, self.room, self._name = url, room, f"watcher-{number}"
        self.shown: dict[int, str] = {}
        self.last: str | None = None
        self.returns = self.gaps = self.false_gaps = self.changes = 0
        self.is_done = False

    async def run(self) -> None:
        """Ended by `is_done`, once it has been in after that."""
        while True:
            was_done = self.is_done
            with contextlib.suppress(*AWAY):
                async with await Member.connect(self._url) as member:
                    since = {"since": self.last} if self.last else {}
                    answer = await member.join(self._name, self.room, **since)
                    self.returns += 1
                    if not was_done:
                        while not member.closed.is_set() and not self.is_done:
                            await asyncio.sleep(0.05)
                    self._take(member, answer)
                    if was_done:
                        return
            await asyncio.sleep(random.uniform(0.05, 0.3))

    def _take(self, member: Member, answer: dict[str, Any]) -> None:
        if self.last is not None and answer.get("recovered") is False:
            self.shown.clear()
            self.gaps += 1
        kept_from = int(answer["id"].partition(":")[2]) - KEPT
        self.shown = {seq: text for seq, text in self.shown.items() if seq > kept_from}
        for name, data in member.arrivals:
            if name == "receive" and "id" in data:
                self.shown[_seq(data["id"])] = data["message"]
                self.last = data["id"]
            elif name == "changed":
                self.shown[_seq(data["id"])] = data["message"]
                self.changes += 1
            elif name == "error" and data["code"] == "gap":
                self.false_gaps += 1


def _seq(position: str) -> int:
    return int(position.partition(":")[2])


async def insist(api: Backend, method: str, **fields: Any) -> dict[str, Any]:
    """Calls a method until it is answered for good."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        with contextlib.suppress(*AWAY):
            answer = await api.call(method, **fields)
            if answer.status == 200:
                found: dict[str, Any] = answer.data
                return found
            assert answer.status in (429, 503), answer
        await asyncio.sleep(random.uniform(0.02, 0.2))
    raise AssertionError(f"{method} is not answered")


@asynccontextmanager
async def killing(gateway: Gateway, kills: list[int]) -> AsyncIterator[None]:
    """Kills a worker now and then."""

    async def kill() -> None:
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            if len(pids := gateway.worker_pids()) == WORKERS:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(random.choice(pids), signal.SIGKILL)
                    kills.append(1)

    task = asyncio.create_task(kill())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nobody_still_shows_a_redacted_message(server: Valkey) -> None:
    key, line = key_for("backend")
    ledger: dict[str, set[int]] = {}
    kills: list[int] = []
    redactions = int(os.environ.get("REDACTIONS", REDACTIONS))
    began_s = time.monotonic()
    async with (
        asyncio.timeout(LIMIT_S),
        Gateway(server.url, workers=WORKERS, GATEWAY_API_KEYS=line, GATEWAY_GRACE_S="1") as gateway,
        backend(gateway.url, key) as api,
    ):
        rooms = [f"red-{number}" for number in range(ROOMS)]
        watchers = [Watcher(gateway.url, room, number) for room in rooms for number in range(2)]
        watching = [asyncio.create_task(one.run()) for one in watchers]

        async def moderate(room: str) -> None:
            redacted = ledger.setdefault(room, set())
            behind: list[str] = []
            for number in range(redactions // ROOMS):
                said = await insist(
                    api, "publish", room=room, message=f"secret {number}", idempotency_key=f"k{number}"
                )
                behind.append(said["id"])
                if len(behind) > number % 10:  # the newest, or one of the last ten
                    is_old = _seq(said["id"]) - _seq(behind[0]) > KEPT // 2
                    chosen = behind.pop(0 if is_old else random.randrange(len(behind)))
                    await insist(api, "redact", room=room, id=chosen)
                    redacted.add(_seq(chosen))
            for left in behind:
                await insist(api, "redact", room=room, id=left)
                redacted.add(_seq(left))

        async with killing(gateway, kills):
            await asyncio.gather(*map(moderate, rooms))
        for one in watchers:
            one.is_done = True
        await asyncio.gather(*watching)
        async with redis.Redis.from_url(server.url) as reader:
            epochs = [await reader.hget(f"{{chat_history_{room}}}:meta", "epoch") for room in rooms]
    shown = [
        (one.room, seq, text)
        for one in watchers
        for seq, text in one.shown.items()
        if seq in ledger[one.room] and text
    ]
    print(
        f"\n{sum(map(len, ledger.values()))} redactions in {time.monotonic() - began_s:.0f} s, {len(kills)} kills, "
        f"{sum(one.returns for one in watchers)} joins, {sum(one.changes for one in watchers)} changes told, "
        f"{sum(one.gaps for one in watchers)} too long away, {sum(one.false_gaps for one in watchers)} gaps, "
        f"{sum(len(one.shown) for one in watchers)} messages shown, {len(shown)} of them redacted ones with a text"
    )
    assert sum(map(len, ledger.values())) == redactions
    assert shown == []
    assert sum(one.false_gaps for one in watchers) == 0, "Redis has lost nothing"
    assert None not in epochs
