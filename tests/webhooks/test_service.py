"""Webhooks of one worker and of several, with a real store and a real receiver."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.pauses import Backoff
from gateway.redis.commands import PrimaryCommands
from gateway.rooms.room import Room
from gateway.state.hook_queue import OCCUPIED, PARTS, Mark
from gateway.webhooks import waiting
from gateway.webhooks.leases import LeaseTimes
from gateway.webhooks.service import Webhooks
from gateway.webhooks.webhook import Webhook
from tests.support.hook_rooms import free_leases, say
from tests.support.waiting import stays, until
from tests.support.webhook_receiver import Receiver, receiver

SECRETS = (b"k" * 32,)
QUICK = LeaseTimes(lease_s=1.0, beat_s=0.1, sure_s=0.3)
SOON = Backoff(0.01, 0.05)


class NoRooms:
    """A worker without sessions."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    await free_leases(client)
    yield client
    await client.aclose()


@pytest.fixture
async def app(client: redis.Redis) -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


def hook(app: Receiver, room: str, **more: Any) -> Webhook:
    rooms = (room, f"{room}:*")
    return Webhook(
        **{"name": uuid.uuid4().hex[:8], "url": app.url, "secrets": SECRETS, "rooms": rooms, **more}
    )


@asynccontextmanager
async def running(
    store: PrimaryCommands, *hooks: Webhook, worker: str = "one", retry_s: float = 60.0, ready: bool = True
) -> AsyncIterator[Webhooks]:
    service = Webhooks(store, worker, hooks, 3600, retry_s, QUICK, SOON)
    service.start(NoRooms())
    try:
        if ready:
            await until(lambda: len(service._leases.parts) == PARTS, 10, "it holds all leases")
        yield service
    finally:
        await service.close()


async def post(
    service: Webhooks, client: redis.Redis, room: str, texts: Sequence[str], first: int = 1
) -> None:
    """As the publisher does: first the mark, then the message."""
    assert service.marks is not None
    for seq, text in enumerate(texts, first):
        service.marks.will_publish(room)
        await say(client, room, text, first=seq)


async def test_all_is_told_in_order_though_three_in_ten_fail(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    app.fails_share = 0.3
    rooms = [f"{room}:{number}" for number in range(20)]
    async with running(store, hook(app, room)) as service:
        for name in rooms:
            await post(service, client, name, [f"{number}" for number in range(15)])
        await until(lambda: all(len(app.texts(name)) == 15 for name in rooms), 30, "all is told")
    for name in rooms:
        assert app.texts(name) == [f"{number}" for number in range(15)]
    assert app.failed > 0
    assert not app.forged
    assert app.most_in_flight <= 4
    assert len(set(app.ids)) <= len(app.ids) - app.failed + 20, (
        "what is tried again keeps its id, unless it has grown"
    )


async def test_a_body_has_at_most_100_events_and_256_kib(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    app.is_away = True
    async with running(store, hook(app, room)) as service:
        await post(service, client, f"{room}:small", ["x"] * 250)
        await post(service, client, f"{room}:large", ["y" * 20_000] * 40)
        app.is_away = False
        await until(lambda: len(app.of(f"{room}:small")) == 250, 20, "the small ones")
        await until(lambda: len(app.of(f"{room}:large")) == 40, 20, "the large ones")
    assert 50 <= app.most_events <= 100
    assert app.largest_bytes <= 256 * 1024


@pytest.mark.long
async def test_one_that_is_away_stalls_no_other_and_keeps_little(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting.Waiting.__init__, "__defaults__", (30,))
    async with receiver() as dead:
        dead.is_away = True
        async with running(store, hook(dead, room), hook(app, room)) as service:
            rooms = [f"{room}:{number}" for number in range(45)]
            for name in rooms:
                await post(service, client, name, ["hello"])
            await until(lambda: all(app.texts(name) for name in rooms), 20, "the other one is told of all")
            assert len(service.deliveries[0].waiting) <= 30
            assert service.deliveries[0].waiting.overflowed
            dead.is_away = False
            await until(
                lambda: all(dead.texts(name) for name in rooms), 30, "it is told of all once it is back"
            )


async def test_what_is_given_up_is_one_gap_and_what_comes_later_follows(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    app.is_away = True
    one = hook(app, room)
    async with running(store, one, retry_s=0.2) as service:
        await post(service, client, room, ["one", "two"])

        async def is_given_up() -> bool:
            return bool(await client.hget(keys.hooked(room, one.name), "gap"))

        await until(is_given_up, 10, "it is given up")
        app.is_away = False
        await post(service, client, room, ["three"], first=3)
        await until(lambda: app.of(room), 10, "the next message")
    assert [(event["type"], event.get("from"), event.get("to"), event.get("id")) for event in app.events] == [
        ("gap", "a:0", "a:2", None),
        ("message", None, None, "a:3"),
    ]


async def test_states_are_not_given_up(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    app.is_away = True
    async with running(store, hook(app, room), retry_s=0.05) as service:
        assert service.marks is not None
        await client.hset(keys.users(room), "ann", 1)
        service.marks.on_presence(room, "ann", True, 1)
        await until(lambda: app.failed > 5, 10, "it is tried")
        app.is_away = False
        await until(lambda: app.of(room, "occupied"), 10, "occupied")


async def test_what_an_earlier_holder_left_is_told_by_the_next(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    app.is_away = True
    one = hook(app, room)
    async with running(store, one) as service:
        await post(service, client, room, ["one"])
        await until(lambda: app.failed > 0, 10, "it is tried")
    app.is_away = False
    async with running(store, one, worker="two"):
        await until(lambda: app.texts(room) == ["one"], 10, "the next one tells it")


async def test_leases_are_shared_and_move_when_a_worker_stands_still(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    one = hook(app, room)
    async with (
        running(store, one, ready=False) as first,
        running(store, one, worker="two", ready=False) as second,
    ):

        def share() -> tuple[int, int]:
            return len(first._leases.parts), len(second._leases.parts)

        await until(lambda: share() == (PARTS // 2, PARTS // 2), 10, "each has half")
        assert not set(first._leases.parts) & set(second._leases.parts)
        await first._posting.close()  # it stands still: no lease is kept, none is given back
        await until(lambda: len(second._leases.parts) == PARTS, 10, "the other has all")
        assert first._leases.parts == []
        await post(first, client, room, ["from the first"])
        await until(lambda: app.texts(room), 10, "the second tells it")


async def test_no_redirect_is_followed_and_both_secrets_sign(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    app.status = 307
    async with running(store, hook(app, room, secrets=(b"n" * 32, b"k" * 32))) as service:
        await post(service, client, room, ["one"])
        await until(lambda: app.failed > 2, 10, "it is tried again")
        assert app.events == []
        app.status = 200
        await until(lambda: app.texts(room) == ["one"], 10, "it is taken")
    assert not app.forged


async def test_the_store_that_has_lost_its_leases_gives_higher_ones(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    one = hook(app, room)
    async with running(store, one) as service:
        await post(service, client, room, ["one"])
        await until(lambda: app.texts(room) == ["one"], 10)
        later = 9 * 10**15  # the clock of the lost store was ahead
        await client.hset(keys.hooked(room, one.name), "fence", later)
        await post(service, client, room, ["two"], first=2)
        await until(lambda: app.texts(room) == ["one", "two"], 15, "it goes on under a higher fence")
        assert int(await client.hget(keys.hooked(room, one.name), "fence") or 0) > later


async def test_nothing_is_left_pending_and_nobody_elses_rooms_are_told(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    one = hook(app, room)
    async with running(store, one) as service:
        await post(service, client, room, ["one"])
        await post(service, client, f"other-{room}", ["hidden"])
        part = Mark(OCCUPIED, room).part

        async def is_done() -> bool:
            return bool(app.texts(room)) and not await client.exists(
                keys.hook_pending(part, one.name), keys.hook_marks(part)
            )

        await until(is_done, 10, "nothing is left")
        await stays(lambda: not app.of(f"other-{room}"), 0.2)
        assert not await client.exists(keys.hooked(f"other-{room}", one.name))
    assert service._background.is_idle
    assert service._posting.is_idle


async def test_a_change_of_what_was_told_is_told_once(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    one = hook(app, room)
    async with running(store, one) as service:
        assert service.marks is not None
        await post(service, client, room, ["one", "two"])
        await until(lambda: len(app.of(room)) == 2, 10)
        changed: Any = {"1": '{"changed":{"kind":"redacted","by":"mod","at":77}}'}
        await client.hset(keys.more(room), mapping=changed)
        await client.hset(keys.meta(room), "more", "1")
        entry = await client.lindex(keys.history(room), 0)
        await client.lset(keys.history(room), 0, str(entry, "utf-8").replace("one", ""))  # type: ignore[arg-type]
        service.marks.will_publish(room)
        await until(lambda: app.of(room, "changed"), 10)
        await post(service, client, room, ["three"], first=3)
        await until(lambda: len(app.of(room)) == 3, 10)
    (event,) = app.of(room, "changed")
    assert (event["id"], event["kind"], event["message"], event["by"], event["at"]) == (
        "a:1",
        "redacted",
        "",
        "mod",
        77,
    )


async def test_a_room_that_nobody_can_read_holds_up_no_other(
    store: PrimaryCommands, client: redis.Redis, app: Receiver, room: str
) -> None:
    broken = {f"{room}:list": keys.history, f"{room}:meta": keys.meta, f"{room}:cursor": keys.meta}
    for name, key in broken.items():
        await client.set(key(name), "of another type")
    await client.hset(keys.meta(f"{room}:list"), mapping={"epoch": "a", "seq": 1, "last": 1})
    await client.hset(keys.meta(f"{room}:epoch"), mapping={"epoch": b"\xff", "seq": "1e3", "last": "x"})
    async with running(store, hook(app, room)) as service:
        assert service.marks is not None
        for name in (*broken, f"{room}:epoch"):
            service.marks.will_publish(name)
        await post(service, client, f"{room}:good", ["one"])
        await until(lambda: app.texts(f"{room}:good") == ["one"], 10)
        await until(lambda: not len(service.deliveries[0].waiting), 10, "they are given up")
