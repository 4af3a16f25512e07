"""Bans from outside: real workers, a real Redis, the command; and how long it takes until a session is over."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from gateway.state.revocations import Change, until
from tests.support.clients import HandshakeRefused, Member, Transport
from tests.support.gateways import Gateway
from tests.support.identified import typed, writer
from tests.support.servers import Valkey
from tests.support.topologies import cluster
from tests.support.waiting import stays
from tests.support.waiting import until as wait_until

WORKERS = 2
TRIES = 12
"""Handshakes, among which each of a few workers has some."""
BANNED = [("forbidden", "banned", False)]


async def from_address(gateway: Gateway, address: str, transport: Transport = "websocket") -> Member:
    """A member that comes from there."""
    return await Member.connect(gateway.url, transport, from_address=address)


async def on_each_worker(gateway: Gateway, address: str) -> list[Member]:
    """Members from there, until each worker has one."""
    members: list[Member] = []
    while len({member.sid.partition(".")[0] for member in members}) < gateway.workers:
        assert len(members) < 100
        members.append(await from_address(gateway, address))
    return members


async def refusals(gateway: Gateway, address: str, times: int = TRIES) -> list[int]:
    """What handshakes from there are answered; enough of them to reach each worker."""
    found = []
    for _ in range(times):
        try:
            await (await from_address(gateway, address)).close()
            found.append(101)
        except HandshakeRefused as refused:
            found.append(refused.status)
    return found


def told(member: Member) -> list[tuple[str, str, bool]]:
    return [(one["code"], one["reason"], one["retryable"]) for one in member.errors]


async def test_a_banned_network_is_out_on_every_worker_and_nobody_else(
    gateway: Gateway, redis_url: str
) -> None:
    async with writer(redis_url) as bans:
        banned = [
            *await on_each_worker(gateway, "127.9.1.7"),
            await from_address(gateway, "127.9.1.8", "polling"),
        ]
        other = await from_address(gateway, "127.9.2.7")
        await bans.change([Change("ip:127.9.1.0/24", until(0))], time.time())
        for member in banned:
            await asyncio.wait_for(member.closed.wait(), 5)
            assert told(member) == BANNED
        assert await refusals(gateway, "127.9.1.9") == [403] * TRIES
        await stays(lambda: not other.closed.is_set(), 0.1)
        await bans.change([Change("ip:127.9.1.0/24")], time.time())
        for member in (*banned, other):
            await member.close()


@pytest.mark.long
async def test_a_ban_stands_on_workers_that_start_later_until_it_is_taken_back(server: Valkey) -> None:
    async with Gateway(server.url, workers=WORKERS) as gateway:
        await typed(server.url, "ban", "--ip", "127.9.1.0/24")
        before = await gateway.worker_names()
        os.kill(gateway.master_pid, signal.SIGHUP)

        async def are_new() -> bool:
            return not before & await gateway.ready_workers() and len(gateway.worker_pids()) == WORKERS

        await wait_until(are_new, 30, "new workers serve")
        assert await refusals(gateway, "127.9.1.9") == [403] * TRIES
        await typed(server.url, "unban", "--ip", "127.9.1.0/24")

        async def is_in() -> bool:
            return await refusals(gateway, "127.9.1.9") == [101] * TRIES

        await wait_until(is_in, 10, "the network is let in again")


@pytest.mark.long
async def test_a_worker_whose_user_may_not_hear_the_word_serves_and_follows_by_its_heartbeats(
    server: Valkey,
) -> None:
    async with Gateway(await _without_control(server), workers=1) as gateway:
        member = await from_address(gateway, "127.9.1.7")
        assert (await member.join("ada", "tea"))["ok"]
        assert gateway.log().count("subscription_given_up") == 1
        assert (await server.ask("PUBSUB", "NUMSUB", "gateway:control"))[1] == 0
        await typed(server.url, "ban", "--ip", "127.9.1.7")
        await asyncio.wait_for(member.closed.wait(), 5)
        assert told(member) == BANNED
        await member.close()


async def _without_control(server: Valkey) -> str:
    """The URL of a user that may listen to everything but the control channel."""
    channels = ("resetchannels", "&socketio", "&socket.io*", "&gateway:worker:*", "&{chat_history_*")
    await server.ask("ACL", "SETUSER", "gw", "on", ">pw", "~*", "+@all", "-@admin", *channels)
    return server.url.replace("redis://", "redis://gw:pw@")


# -- how long it takes


async def _time_to_close(server: Valkey, gateway: Gateway, count: int, pause_s: float) -> list[float]:
    """Bans so many members one after the other; the seconds until each is closed, sorted."""
    members = {f"127.10.{at // 250}.{at % 250 + 1}": None for at in range(count)}
    opened = {address: await from_address(gateway, address) for address in members}

    async def ban(address: str, begin_s: float) -> float:
        await asyncio.sleep(begin_s)
        begun_s = time.monotonic()
        await bans.change([Change(f"ip:{address}/32", until(0))], time.time())
        await asyncio.wait_for(opened[address].closed.wait(), 10)
        return time.monotonic() - begun_s

    async with writer(server.url) as bans:
        taken_s = await asyncio.gather(*(ban(address, at * pause_s) for at, address in enumerate(opened)))
    assert all(told(member) == BANNED for member in opened.values())
    assert await refusals(gateway, "127.10.0.1") == [403] * TRIES
    for member in opened.values():
        await member.close()
    return sorted(taken_s)


@pytest.mark.long
async def test_with_the_bus_99_of_100_are_closed_within_a_second(server: Valkey) -> None:
    async with Gateway(server.url, workers=WORKERS) as gateway:
        taken_s = await _time_to_close(server, gateway, 200, 0.05)
    print(f"with the bus: p50 {taken_s[99]:.3f} s, p99 {taken_s[197]:.3f} s, longest {taken_s[-1]:.3f} s")
    assert taken_s[197] <= 1.0


@pytest.mark.long
async def test_without_the_word_all_are_closed_within_five_seconds(server: Valkey) -> None:
    url = await _without_control(server)
    async with Gateway(url, workers=WORKERS) as gateway:
        taken_s = await _time_to_close(server, gateway, 100, 0.2)
    print(f"without the word: p50 {taken_s[49]:.3f} s, p99 {taken_s[98]:.3f} s, longest {taken_s[-1]:.3f} s")
    assert taken_s[-1] <= 5.0


@pytest.mark.long
async def test_on_a_cluster_a_ban_is_heard_too() -> None:
    async with cluster() as nodes:
        async with Gateway(nodes.url, workers=WORKERS) as gateway:
            banned = await on_each_worker(gateway, "127.9.1.7")
            begun_s = time.monotonic()
            await typed(nodes.url, "ban", "--ip", "127.9.1.7")
            for member in banned:
                await asyncio.wait_for(member.closed.wait(), 5)
                assert told(member) == BANNED
                await member.close()
            print(f"closed {time.monotonic() - begun_s:.2f} s after the command was begun")
            assert await refusals(gateway, "127.9.1.7") == [403] * TRIES
