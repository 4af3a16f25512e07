"""The release before beside this one, on one Redis, as in a rolling restart: `GATEWAY_BEFORE` names a folder with its
code, else these tests are skipped. Run by hand for each release (docs/upgrading.md says what they show)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.backend import AsyncBackend, calls
from tests.support.backends import key_for
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.waiting import until

BEFORE = os.environ.get("GATEWAY_BEFORE", "")

pytestmark = [
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.skipif(not BEFORE, reason="GATEWAY_BEFORE names no folder"),
]


class Beside(NamedTuple):
    """Both releases, and a key for the server API of the newer one."""

    before: Gateway
    now: Gateway
    key: str


@asynccontextmanager
async def both(redis_url: str) -> AsyncIterator[Beside]:
    key, configured = key_for("app")
    async with (
        Gateway(redis_url, workers=2, code=Path(BEFORE)) as before,
        Gateway(redis_url, workers=2, environment={"GATEWAY_API_KEYS": configured}) as now,
    ):
        yield Beside(before, now, key)


def told(member: Member, name: str) -> list[Any]:
    return [one.data for one in member.arrivals if one.name == name]


async def test_both_releases_see_one_order_whoever_publishes_and_however(redis_url: str, room: str) -> None:
    async with both(redis_url) as beside, AsyncBackend(beside.now.url, beside.key) as backend:
        async with (
            await Member.connect(beside.before.url) as old,
            await Member.connect(beside.now.url) as new,
        ):
            await old.join("ann", room)
            await new.join("ben", room)
            for number in range(30):
                assert (await old.send(room, f"old {number}"))["ok"]
                assert (await new.send(room, f"new {number}", meta={"a": number}))["ok"]
                await backend.do(calls.publish(room, f"api {number}", user="42"))
            await until(lambda: len(old.messages(room)) == len(new.messages(room)) == 90, 10, "all are there")
            assert old.ids(room) == new.ids(room)
            assert old.messages(room) == new.messages(room)
            async with (
                await Member.connect(beside.before.url) as late,
                await Member.connect(beside.now.url) as later,
            ):
                await late.join("cat", room)
                await later.join("dan", room)
                assert late.messages(room) == later.messages(room) == new.messages(room)[-100:]
            assert not told(old, "error")
            assert not told(new, "error")


async def test_what_is_changed_meanwhile_is_seen_at_once_here_and_by_who_moves_here(
    redis_url: str, room: str
) -> None:
    async with both(redis_url) as beside, AsyncBackend(beside.now.url, beside.key) as backend:
        async with (
            await Member.connect(beside.before.url) as old,
            await Member.connect(beside.now.url) as new,
        ):
            await old.join("ann", room)
            await new.join("ben", room)
            id = (await old.send(room, "a slip"))["id"]
            await until(lambda: new.ids(room) == old.ids(room) == [id], 5, "both have it")
            await backend.do(calls.redact(room, id))
            await until(lambda: bool(told(new, "changed")), 5, "the change is told")
            assert (await old.send(room, "after it"))["ok"]
            await until(lambda: len(old.messages(room)) == 2, 5, "the next message")
            assert not told(old, "changed"), "it does not know the event"
            async with await Member.connect(beside.now.url) as back:
                await back.join("ann", room, since=old.ids(room)[-1])
                await until(lambda: bool(told(back, "changed")), 5, "it is told when it has moved")
            async with await Member.connect(beside.before.url) as late:
                await late.join("cat", room)
                assert late.messages(room) == ["", "after it"]
            assert not told(old, "error")
            assert not told(new, "error")


async def test_a_rolling_restart_from_the_release_before_loses_nothing(redis_url: str, room: str) -> None:
    """Members come back with `since`; somebody writes all the time."""
    async with both(redis_url) as beside:
        sent: list[str] = []
        is_over = asyncio.Event()

        async def write() -> None:
            async with await Member.connect(beside.now.url) as writer:
                await writer.join("writer", room)
                while not is_over.is_set():
                    text = f"m{len(sent)}"
                    if (await writer.send(room, text, meta={"n": len(sent)}))["ok"]:
                        sent.append(text)
                    await asyncio.sleep(0.02)  # the rhythm of somebody who writes a lot

        writing = asyncio.create_task(write())
        async with await Member.connect(beside.before.url) as old:
            await old.join("ann", room)
            await until(lambda: len(old.messages(room)) > 20, 10, "messages come")
            stopping = asyncio.create_task(beside.before.stop())
            await old.closed.wait()
            async with await Member.connect(beside.now.url) as back:
                answer = await back.join("ann", room, since=old.ids(room)[-1])
                assert answer["recovered"] is True
                await stopping
                await until(lambda: len(back.messages(room)) > 50, 10, "messages come")
                is_over.set()
                await writing
                await until(lambda: back.messages(room)[-1:] == sent[-1:], 10, "the last one")
                assert old.messages(room) + back.messages(room) == sent
