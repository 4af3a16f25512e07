"""What traces cost a worker, by its own processor time, in rounds of a gateway without and one with them, in turn."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable

import psutil
import pytest

from tests.support.backends import Backend, backend, key_for
from tests.support.clients import Member
from tests.support.collector import collector
from tests.support.gateways import WITHOUT_LIMITS, Gateway
from tests.support.opener import Opener

pytestmark = [pytest.mark.system, pytest.mark.long]

KEY, KEYS = key_for()
ROUNDS, CALLS, SENDS = 7, 400, 3000
CALL_MAX, SEND_MAX = 2.5, 1.10
"""How many times as much a call that is traced may take, and a send of which one in 1,000 is."""


async def cost_s(worker: psutil.Process, work: Awaitable[None]) -> float:
    """Processor time that a worker takes for it."""
    before = worker.cpu_times()
    await work
    after = worker.cpu_times()
    return float(after.user + after.system - before.user - before.system)


async def calling(shop: Backend, room: str) -> None:
    """Calls of a backend."""
    for _ in range(CALLS):
        await shop.ok("publish", room=room, message="m")


async def sending(member: Member, room: str) -> None:
    """Messages of a client."""
    for _ in range(SENDS // 100):
        await asyncio.gather(*(member.call("send", {"room": room, "message": "m"}) for _ in range(100)))


async def test_a_traced_call_costs_at_most_two_and_a_half_times_as_much_and_sends_next_to_nothing(
    redis_url: str, connect: Opener, room: str
) -> None:
    async with collector() as found:
        plain = {"GATEWAY_API_KEYS": KEYS, "GATEWAY_LOG_LEVEL": "warning", **WITHOUT_LIMITS}
        traced = found.environment(**plain, OTEL_BSP_SCHEDULE_DELAY="5000")
        async with (
            Gateway(redis_url, workers=1, environment=plain) as off,
            Gateway(redis_url, workers=1, environment=traced) as on,
            backend(off.url, KEY) as shop_off,
            backend(on.url, KEY) as shop_on,
        ):
            costs: dict[str, list[float]] = {}
            places = {"off": (off, shop_off), "on": (on, shop_on)}
            members = {name: await connect(gateway.url) for name, (gateway, _) in places.items()}
            for name, member in members.items():
                await member.join("ann", f"{room}-{name}")
            for _ in range(ROUNDS):
                for name, (gateway, shop) in places.items():
                    worker, place = psutil.Process(gateway.worker_pids()[0]), f"{room}-{name}"
                    calls = await cost_s(worker, calling(shop, place))
                    sends = await cost_s(worker, sending(members[name], place))
                    costs.setdefault(f"calls {name}", []).append(calls / CALLS)
                    costs.setdefault(f"sends {name}", []).append(sends / SENDS)
            middle = {name: statistics.median(each) for name, each in costs.items()}
            call, send = (middle[f"{each} on"] / middle[f"{each} off"] for each in ("calls", "sends"))
            print({name: f"{each * 1e6:.1f} µs" for name, each in middle.items()}, f"{call:.2f} {send:.3f}")
            assert call < CALL_MAX
            assert send < SEND_MAX
