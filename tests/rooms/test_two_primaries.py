"""Two primaries at once, real servers: what the old one acknowledged after it was replaced is not lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Literal

import pytest

from gateway.errors import StoreError
from gateway.protocol import entry_head
from gateway.redis.address import Endpoint, endpoint_of
from gateway.rooms.room import Room
from tests.support.chat_worker import ChatWorker, chat_worker
from tests.support.live_room import entered
from tests.support.recorder import Recorder
from tests.support.servers import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.system  # each test has a primary and a replica of its own

Last = Literal["commands", "channel"]


class Steered:
    """Finds the server that the test names."""

    must_be_primary = True

    def __init__(self, url: str) -> None:
        self.endpoint = endpoint_of(url)

    async def find(self) -> Endpoint:
        """The server."""
        return self.endpoint

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """The test drops the connections itself."""


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Valkey, Valkey]]:
    """A primary, and a replica that is in step."""
    old = Valkey("--repl-diskless-sync-delay", "0")
    new = Valkey("--replicaof", f"127.0.0.1 {old.port}")
    try:
        await old.start()
        await new.start()
        await until(new.follows, 30, "the replica is in step")
        yield old, new
    finally:
        old.close()
        new.close()


class Side:
    """A worker with one member."""

    def __init__(self, worker: ChatWorker, finder: Steered, opened: Room, member: Recorder) -> None:
        self.worker, self.finder, self.room, self.member = worker, finder, opened, member

    async def send(self, text: str) -> str:
        """Publishes a message; returns its position."""
        outcomes: list[str | StoreError] = []
        self.worker.publisher.publish(self.room, entry_head(text, "u"), None, outcomes.append)
        await until(lambda: outcomes, what="an answer")
        assert isinstance(outcomes[0], str), outcomes
        return outcomes[0]

    async def move(self, new: Valkey, last: Last | None = None) -> None:
        """Follows to the new primary, with both connections at once or one after the other."""
        self.finder.endpoint = endpoint_of(new.url)
        store, pubsub = self.worker.store, self.worker.pubsub
        steps = [lambda: store.drop("moved"), lambda: pubsub.drop("moved")]
        server = str((await new.ask("INFO", "server"))["run_id"])
        places = [lambda: store.server(b""), lambda: pubsub.server(self.room.channel)]
        order = [1, 0] if last == "commands" else [0, 1]
        for at in order:
            steps[at]()
            if last is not None:
                await until(lambda at=at: places[at]() == server, what="it has moved")
        await until(lambda: places[0]() == places[1]() == server, what="both have moved")
        await until(
            lambda: pubsub.unhealthy_reason is None and not self.room.reading.is_open, what="it listens"
        )
        await until(lambda: not self.room.observed.is_suspicious, what="the new primary has been told")


async def two_sides(stack: AsyncExitStack, old: Valkey, room: str) -> list[Side]:
    sides = []
    for _ in range(2):
        finder = Steered(old.url)
        worker = await stack.enter_async_context(chat_worker(old.url, finder=finder))
        sides.append(Side(worker, finder, *await entered(worker, room)))
    return sides


@pytest.mark.parametrize("last", [None, "commands", "channel"])
@pytest.mark.parametrize("sent_at_the_new_one", [0, 1, 4])
async def test_what_the_old_primary_acknowledged_later_is_announced_to_those_who_had_left_it(
    servers: tuple[Valkey, Valkey], room: str, last: Last | None, sent_at_the_new_one: int
) -> None:
    old, new = servers
    async with AsyncExitStack() as stack:
        early, late = await two_sides(stack, old, room)
        await late.send("m1")
        await until(lambda: early.member.texts() == late.member.texts() == ["m1"], what="the first message")
        await until(lambda: new.ask("EXISTS", f"chat_history_{room}"), what="it is replicated")
        await new.ask("REPLICAOF", "NO", "ONE")
        await early.move(new)
        for number in range(sent_at_the_new_one):
            await early.send(f"new{number}")
        assert "GAP" not in early.member.texts(), "nothing has been lost yet"
        await late.send("only at the old one")
        await until(lambda: "only at the old one" in late.member.texts(), what="the old primary's message")
        await late.move(new, last)
        await until(lambda: "GAP" in early.member.texts(), what="those who had left hear of it")
        await until(lambda: "GAP" in late.member.texts(), what="and those who come")
        await early.send("after")
        await until(
            lambda: {side.member.texts()[-1] for side in (early, late)} == {"after"}, what="and go on"
        )
        assert early.room.position == late.room.position
        assert "only at the old one" not in early.member.texts()


async def test_a_second_loss_is_announced_to_those_who_were_told_of_the_first(
    servers: tuple[Valkey, Valkey], room: str
) -> None:
    old, new = servers
    async with AsyncExitStack() as stack:
        early, late = await two_sides(stack, old, room)
        await late.send("m1")
        await until(lambda: new.ask("EXISTS", f"chat_history_{room}"), what="it is replicated")
        await new.ask("REPLICAOF", "NO", "ONE")
        await late.send("lost before")
        await until(lambda: early.member.texts() == ["m1", "lost before"], what="both have it")
        await early.move(new)
        assert early.member.texts().count("GAP") == 1
        await late.send("lost after")
        await late.move(new)
        await until(lambda: early.member.texts().count("GAP") == 2, what="they are told again")


async def test_a_move_that_loses_nothing_is_not_noticed(servers: tuple[Valkey, Valkey], room: str) -> None:
    old, new = servers
    async with AsyncExitStack() as stack:
        sides = await two_sides(stack, old, room)
        await sides[0].send("m1")
        await until(lambda: new.ask("EXISTS", f"chat_history_{room}"), what="it is replicated")
        await new.ask("REPLICAOF", "NO", "ONE")
        await asyncio.gather(*(side.move(new) for side in sides))
        await sides[1].send("m2")
        for side in sides:
            await until(lambda side=side: side.member.texts() == ["m1", "m2"], what="both")
