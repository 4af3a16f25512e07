"""A Cluster as one store: the map of slots, and order while a slot moves."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.errors import StoreUnavailable
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.cluster.slot_map import read_slots, seeds_of
from gateway.redis.server_watch import ServerWatch
from gateway.state.history import NOTHING
from gateway.state.scripts import SNAPSHOT
from tests.support import topologies
from tests.support.redis_limits import LIMITS, SHORT_LIMITS
from tests.support.waiting import until


def test_seeds_carry_the_way_in() -> None:
    seeds = seeds_of("redis+cluster://ann:p%40ss@h1:7000,h2:7001")
    assert [(seed.host, seed.port, seed.username, seed.password) for seed in seeds] == [
        ("h1", 7000, "ann", "p@ss"),
        ("h2", 7001, "ann", "p@ss"),
    ]
    with pytest.raises(ValueError, match="names no host"):
        seeds_of("redis+cluster://")
    assert [seed.tls is not None for seed in seeds_of("rediss+cluster://h1:7000")] == [True]


def test_the_map_names_each_slots_primary() -> None:
    node = [b"10.0.0.1", 7000, b"id", []]
    owners, names = read_slots([[0, 5460, node, node], [5461, 16383, [b"", 7001, b"id", []]]], ("asked", 1))
    assert (owners[0], owners[5460], owners[5461]) == (
        ("10.0.0.1", 7000),
        ("10.0.0.1", 7000),
        ("asked", 7001),
    )
    assert names == {("10.0.0.1", 7000): "id", ("asked", 7001): "id"}
    assert read_slots([[1, 1, node]], ("asked", 1)).owners[0] is None


async def test_without_nodes_commands_are_answered_at_once() -> None:
    store = ClusterCommands("redis+cluster://127.0.0.1:1", ServerWatch(), "test-cluster", SHORT_LIMITS)
    await store.start(0.2)
    assert not store.is_up
    with pytest.raises(StoreUnavailable):
        await store.call(b"k", "GET", "k")
    await store.close()


@pytest.mark.system
async def test_commands_reach_their_node_and_keep_their_order_while_the_slot_moves(room: str) -> None:
    async with topologies.cluster(persistence="none") as cluster:
        store = ClusterCommands(cluster.url, ServerWatch(), "test-cluster", LIMITS)
        await store.start(10)
        assert store.is_up
        assert len(store.primaries()) == 3
        names = [f"key-{number}".encode() for number in range(60)]
        await asyncio.gather(*(store.call(name, "SET", name, name) for name in names))
        assert await asyncio.gather(*(store.call(name, "GET", name) for name in names)) == names

        history = f"chat_history_{room}"
        key = history.encode()
        slot = await cluster.slot_of(room)
        source = await cluster.owner(slot)
        target = next(node for node in cluster.nodes[:3] if node is not source)
        waits = [store.call(key, "RPUSH", key, 0)]
        moving = asyncio.create_task(cluster.move_slot(slot, target))
        while not moving.done():
            waits.append(store.call(key, "RPUSH", key, len(waits)))
            await asyncio.sleep(0)
            await waits[max(0, len(waits) - 5)]  # some are always under way
        await moving
        lengths = await asyncio.gather(*waits)
        assert lengths == list(range(1, len(waits) + 1))
        stored = await store.call(key, "LRANGE", key, 0, -1)
        assert stored == [b"%d" % number for number in range(len(waits))]
        await until(lambda: store.owner(key) == ("127.0.0.1", target.port), 3, "the map is followed")
        meta = b"{" + key + b"}:meta"
        assert (await store.run(SNAPSHOT, (key, meta), *NOTHING.arguments(), "e", 9, "", 0))[0] == b"e", (
            "scripts are there too"
        )
        await store.close()


@pytest.mark.system
async def test_a_command_on_its_way_to_a_slots_new_node_is_answered_in_its_time(room: str) -> None:
    async with topologies.cluster(persistence="none") as cluster:
        store = ClusterCommands(cluster.url, ServerWatch(), "test-cluster", SHORT_LIMITS)
        await store.start(10)
        history = f"chat_history_{room}"
        slot = await cluster.slot_of(room)
        source = await cluster.owner(slot)
        target = next(node for node in cluster.nodes[:3] if node is not source)
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.ids[source])
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.ids[target])
        target.freeze()
        source.freeze()
        asyncio.get_running_loop().call_later(0.7, source.thaw)  # it turns the commands away late
        try:
            began_s = time.monotonic()
            waits = [store.call(history.encode(), "RPUSH", history, number) for number in range(3)]
            answers = await asyncio.gather(*waits, return_exceptions=True)
            assert time.monotonic() - began_s < 1.4
            assert all(isinstance(answer, StoreUnavailable) for answer in answers), answers
        finally:
            source.thaw()
            target.thaw()
            await store.close()
