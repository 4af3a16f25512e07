"""A worker with 10,000 rooms whose channels broke: all of them are heard and whole again soon, on every topology."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from gateway.errors import StoreError
from gateway.option_groups import PublishOptions
from gateway.protocol import entry_head
from gateway.redis.address import is_cluster
from gateway.rooms.hub import Hub
from gateway.rooms.publisher import Publisher
from gateway.rooms.routes import Route, route_for
from gateway.rooms.snapshot_source import RedisSnapshots
from gateway.server.connections import Connections, connections
from gateway.settings import Settings
from gateway.state.history import Histories
from gateway.timers import Timers
from tests.support.recorder import Recorder, live_member
from tests.support.topologies import cluster, standalone
from tests.support.waiting import Stopwatch, until

pytestmark = [pytest.mark.system, pytest.mark.long]

ROOMS = 10_000
TALKING = 500
HEALED_S = 3.0
"""By the clock, without what this process was held up by others; and the CPU that both workers may take meanwhile."""
CPU_S = 1.5
TURN_S = 0.5
"""CPU that one turn of the event loop may take meanwhile. A collection of garbage alone takes half of it: there are the
rooms of two workers in this process."""


class Listening:
    """A worker's rooms, each with a member."""

    def __init__(self, made: Connections, route: Route) -> None:
        self.made, self.name = made, uuid.uuid4().hex[:8]
        histories = Histories(made.store, 600, 600)
        self.publisher = Publisher(made.store, route, PublishOptions())
        snapshots = RedisSnapshots(histories, made.pubsub, made.watch, route)
        self.hub = Hub(made.pubsub, route, snapshots, Timers(), 60.0, self.publisher.tell_position)
        self.recorders: dict[str, Recorder] = {}

    async def enter(self, names: Sequence[str]) -> None:
        for name in names:
            room = self.hub.room(name)
            _, self.recorders[name] = live_member(room)
            room.request()
        await until(self.is_whole, 60.0, "all rooms are read")

    def is_whole(self) -> bool:
        """Whether all rooms are heard, and follow."""
        rooms = self.hub.rooms.values()
        return (
            self.made.pubsub.unhealthy_reason is None
            and not self.hub.waiting
            and all(room.is_following and not room.reading.is_running for room in rooms)
        )


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listening]:
    route = route_for("auto", is_cluster(url))
    made = connections(url, uuid.uuid4().hex[:8], route, Settings.from_environment())
    found = Listening(made, route)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(made.store.close)
        stack.push_async_callback(made.pubsub.close)
        await asyncio.gather(made.store.start(10.0, made.pubsub), made.pubsub.start(10.0, found.hub))
        stack.push_async_callback(found.hub.close)
        yield found


@asynccontextmanager
async def _url(topology: str) -> AsyncIterator[str]:
    if topology == "cluster":
        async with cluster() as three:
            yield three.url
    else:
        async with standalone("none") as server:
            yield server.url


async def longest_turn_s(until_done: asyncio.Task[None]) -> float:
    longest_s = 0.0
    while not until_done.done():
        begun_s = time.thread_time()
        await asyncio.sleep(0.001)
        longest_s = max(longest_s, time.thread_time() - begun_s)
    return longest_s


async def say(sender: Listening, name: str, text: str) -> None:
    """Publishes from another worker, whose connections stand."""
    told: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    head = entry_head(text, "ann")
    sender.publisher.publish(sender.hub.room(name), head, None, told.set_result)
    assert not isinstance(await told, StoreError)


@pytest.mark.parametrize("topology", ["standalone", "cluster"])
async def test_ten_thousand_rooms_are_whole_again_soon_after_their_channels_broke(topology: str) -> None:
    async with _url(topology) as url, listening(url) as here, listening(url) as sender:
        names = [f"room-{number}" for number in range(ROOMS)]
        await here.enter(names)
        talking = names[:: ROOMS // TALKING]
        begun_s = time.process_time()
        async with Stopwatch() as watch:
            here.made.pubsub.drop("test")
            healed = asyncio.create_task(until(partial(_healed, here, talking), 60.0))
            busy = asyncio.create_task(longest_turn_s(healed))
            await asyncio.gather(*(say(sender, name, f"to {name}") for name in talking))
            busy_s = await busy
            await healed
        cpu_s = time.process_time() - begun_s
        print(
            f"{topology}: {ROOMS} rooms whole after {watch.seconds:.2f} s, held up {watch.held_up_s:.2f} s, "
            f"{cpu_s:.2f} s of CPU, longest turn {busy_s:.3f} s of CPU"
        )
        for name in talking:
            assert here.recorders[name].texts() == [f"to {name}"]
        assert busy_s < TURN_S
        assert cpu_s < CPU_S
        assert watch.calm_seconds < HEALED_S


def _healed(here: Listening, talking: Sequence[str]) -> bool:
    return here.is_whole() and all(here.recorders[name].packets for name in talking)
