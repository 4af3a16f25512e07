"""The scripts that publish have in their text what is the same for all messages of a worker."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.errors import StoreError
from gateway.option_groups import PublishOptions
from gateway.protocol import entry_head
from gateway.redis.commands import PrimaryCommands
from gateway.rooms.publish_commands import publishing
from gateway.rooms.publisher import Publisher
from gateway.rooms.room import Room
from gateway.rooms.routes import ClusterRoute, RoomRoute, Route, SharedRoute
from gateway.state.publish_scripts import publish_scripts
from tests.support.waiting import until

OPTIONS = PublishOptions(history_messages=3, history_ttl_s=1000, position_ttl_s=2000, idempotency_ttl_s=30)


def digest(options: PublishOptions = OPTIONS, route: Route | None = None, has_origin: bool = False) -> bytes:
    return publish_scripts(publishing(route or RoomRoute(), options, has_origin)).plain.digest


@pytest.mark.parametrize(
    "field", ["history_messages", "history_ttl_s", "position_ttl_s", "idempotency_ttl_s"]
)
def test_workers_with_other_options_have_scripts_of_their_own(field: str) -> None:
    other = replace(OPTIONS, **{field: 77})
    assert digest(other) != digest()
    assert len({script.digest for script in publish_scripts(publishing(RoomRoute(), other, False))}) == 3


def test_what_is_no_part_of_the_text_makes_no_other_script() -> None:
    """Workers of one deployment share what Redis has compiled."""
    assert digest(replace(OPTIONS, wait_replicas=2, wait_s=0.3, empty_room_ttl_s=5)) == digest()


def test_each_route_has_scripts_of_its_own() -> None:
    routes: list[tuple[Route, bool]] = [
        (RoomRoute(), False),
        (SharedRoute(), False),
        (ClusterRoute(), False),
        (ClusterRoute(), True),
    ]
    assert len({digest(OPTIONS, route, has_origin) for route, has_origin in routes}) == 4


@pytest.mark.parametrize("name", ['"', "]]", "\\0\n", "ü茶"])
async def test_a_worker_keeps_its_rooms_as_its_options_say(
    store: PrimaryCommands, client: redis.Redis, room: str, name: str
) -> None:
    publisher, answers = Publisher(store, SharedRoute(), OPTIONS), list[str | StoreError]()
    opened = Room(room + name, keys.live(room + name), lambda opened: None)
    await store.call(b"", "SCRIPT", "LOAD", publisher.commands.scripts.plain.text)
    for number in range(5):
        publisher.publish(opened, entry_head(f"m{number}", "ann"), None, answers.append)
    await until(lambda: len(answers) == 5, what="all are answered")
    assert [str(answer).partition(":")[2] for answer in answers] == ["1", "2", "3", "4", "5"]
    history, meta = keys.history(opened.name), keys.meta(opened.name)
    assert await client.llen(history) == 3
    assert (995 < await client.ttl(history) <= 1000, 1995 < await client.ttl(meta) <= 2000) == (True, True)
