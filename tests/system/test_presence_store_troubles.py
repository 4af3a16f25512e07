"""Redis away, full, or with a clock that was set: nobody who is still there is announced as left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway import keys
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.servers import PERSISTENCE, Valkey
from tests.support.waiting import stays, until

pytestmark = pytest.mark.long  # each trouble lasts longer than the time after which a worker counts as dead

DEAD_S = 3.0
TROUBLE_S = 5.0
"""As 22 s are to the usual 15 s."""
AN_HOUR_S = 3600
Trouble = Callable[[Valkey], Awaitable[None]]


async def is_away(store: Valkey) -> None:
    """It is killed, and comes back with its data."""
    store.kill()
    await asyncio.sleep(TROUBLE_S)  # the trouble itself
    await store.start()


async def comes_back_empty(store: Valkey) -> None:
    """It is killed, and comes back without data."""
    await store.ask("FLUSHALL")
    await is_away(store)


async def stands_still(store: Valkey) -> None:
    """It answers nothing."""
    store.freeze()
    await asyncio.sleep(TROUBLE_S)  # the trouble itself
    store.thaw()


async def is_full(store: Valkey) -> None:
    """It refuses to store anything."""
    await store.ask("CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(TROUBLE_S)  # the trouble itself
    await store.ask("CONFIG", "SET", "maxmemory", 0)


async def clock_goes_on(store: Valkey) -> None:
    """Its clock is set an hour on: every heartbeat looks an hour old."""
    await _shift(store, -AN_HOUR_S)


async def clock_goes_back(store: Valkey) -> None:
    """Its clock is set back by an hour: every heartbeat is from the future."""
    await _shift(store, AN_HOUR_S)


async def _shift(store: Valkey, by_s: int) -> None:
    for name in await store.ask("ZRANGE", keys.WORKERS, 0, -1):
        await store.ask("ZINCRBY", keys.WORKERS, by_s, name)


@pytest.fixture
async def store() -> AsyncIterator[Valkey]:
    store = Valkey(*PERSISTENCE["always"])
    await store.start()
    yield store
    store.close()


@pytest.mark.parametrize(
    "trouble", [is_away, comes_back_empty, stands_still, is_full, clock_goes_on, clock_goes_back]
)
async def test_nobody_who_is_still_there_is_announced_as_left(
    store: Valkey, room: str, trouble: Trouble
) -> None:
    options = {"GATEWAY_WORKER_DEAD_S": f"{DEAD_S:g}", "GATEWAY_HEARTBEAT_S": "0.6", "GATEWAY_GRACE_S": "1"}
    async with (
        Gateway(store.url, workers=2, environment=options) as here,
        Gateway(store.url, workers=2, environment=options) as there,
    ):
        members: list[Member] = []
        try:
            for number in range(8):
                members.append(await Member.connect((here, there)[number % 2].url))
                assert (await members[-1].join(f"user-{number}", room))["ok"] is True
            await until(lambda: len(members[0].notices(room)) == 7, what="all have come")
            await trouble(store)
            await here.until_ready()
            await there.until_ready()

            def nobody_left() -> bool:
                return not [one for member in members for one in member.notices(room) if "left" in one]

            await stays(nobody_left, 2 * DEAD_S + 4, "nobody is announced")
            answer = await members[0].call("members", {"room": room})
            assert (answer["count"], len(answer["members"])) == (8, 8)
            await members[-1].close()
            await until(
                lambda: "user-7 has left the room" in members[0].notices(room), 20, "who leaves is announced"
            )
        finally:
            for member in members:
                await member.close()
