"""GATEWAY_PUBLISH_WAIT_REPLICAS with a replica that stands still: nothing is acknowledged that it does not have."""

from __future__ import annotations

import pytest

from gateway import keys
from gateway.errors import StoreUnavailable
from gateway.option_groups import PublishOptions
from gateway.protocol import entry_head
from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.server_watch import ServerWatch
from gateway.rooms.publish_commands import Once
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import RoomRoute
from tests.support.redis_limits import LIMITS
from tests.support.servers import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.system  # a primary and a replica of its own

ONCE = Once("", "ann", "k1", "m1")
OPTIONS = PublishOptions(wait_replicas=1, wait_s=0.3)


async def send(store: PrimaryCommands, room: str) -> object:
    """Sends the one message of these tests, with its key."""
    outcomes: list[object] = []
    opened = Room(room, keys.live(room), lambda opened: None)
    Publisher(store, RoomRoute(), OPTIONS).publish(opened, entry_head("m1", "ann"), ONCE, outcomes.append)
    await until(lambda: outcomes, what="it is answered")
    return outcomes[0]


async def test_a_repeated_send_is_only_acknowledged_when_a_replica_has_the_message(room: str) -> None:
    primary = Valkey("--repl-diskless-sync-delay", "0")
    replica = Valkey("--replicaof", f"127.0.0.1 {primary.port}")
    stores = []
    try:
        await primary.start()
        await replica.start()
        await until(replica.follows, 30, "the replica is in step")
        for name in ("here", "elsewhere"):
            finder = FixedFinder(endpoint_of(primary.url))
            stores.append(PrimaryCommands(finder, ServerWatch(), f"test-{name}", LIMITS))
            await stores[-1].start(10)
        here, elsewhere = stores
        replica.freeze()
        assert isinstance(await send(here, room), StoreUnavailable)
        assert isinstance(await send(elsewhere, room), StoreUnavailable), "no replica has it"
        replica.thaw()
        first = await send(elsewhere, room)
        assert isinstance(first, str)
        assert await send(here, room) == first
        assert await replica.ask("LLEN", keys.history(room)) == 1
        ttl_s = int(await primary.ask("TTL", keys.idempotency(room, "", "ann", "k1")))
        assert 0 < ttl_s <= OPTIONS.idempotency_ttl_s
    finally:
        for store in stores:
            await store.close()
        primary.close()
        replica.close()
