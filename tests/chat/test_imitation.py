"""Where tokens count, nobody comes in under a name that looks like that of a user who is there, on whatever worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis

from gateway import keys
from gateway.access.identity import GUEST, Identity
from gateway.state.presence import AS_USER
from tests.support.chat_worker import ChatWorker, Client, chat_worker, tokens_count
from tests.support.waiting import until


@pytest.fixture
async def workers(redis_url: str) -> AsyncIterator[tuple[ChatWorker, ChatWorker]]:
    """Two, where tokens count."""
    how: dict[str, Any] = {"timeout_s": 10.0, "grace_s": 0.2}
    async with chat_worker(redis_url, identities=tokens_count(), **how) as one:
        async with chat_worker(redis_url, identities=tokens_count(), **how) as other:
            yield one, other


@pytest.fixture
async def worker_of_tokens(redis_url: str) -> AsyncIterator[ChatWorker]:
    async with chat_worker(redis_url, identities=tokens_count(), timeout_s=10.0) as worker:
        yield worker


def connect(worker: ChatWorker, user: str = "", name: str | None = None) -> Client:
    return worker.connect(identity=Identity(user, name) if user else GUEST)


async def holders(client: redis.Redis, room: str) -> dict[Any, Any]:
    held: dict[Any, Any] = await client.hgetall(keys.verified(room))
    return {look: holder for look, holder in held.items() if AS_USER.encode() not in look}


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


WHO_TRIES = [
    ("", None, "Ada"), ("", None, "ada"), ("", None, "Аdа"), ("", None, "A da"), ("", None, "ᴀᴅᴀ"),
    ("", None, "A\u200bda"), ("7", None, "Ada"), ("7", None, "ADA"), ("Ada", None, "Ada"),
]  # fmt: skip


@pytest.mark.parametrize(("user", "fixed", "username"), WHO_TRIES)
async def test_who_looks_like_a_user_who_is_there_is_refused(
    workers: tuple[ChatWorker, ChatWorker], room: str, user: str, fixed: str | None, username: str
) -> None:
    ada, other = connect(workers[0], "42", "Ada"), connect(workers[1], user, fixed)
    assert (await ada.join(room, "Ada"))["ok"]
    answer = await other.join(room, username)
    assert (answer["ok"], answer["code"], answer["retryable"]) == (False, "name_taken", False)
    assert other.events("error")[-1]["room"] == room
    assert await workers[0].users(room) == ["Ada"]
    assert ada.notices() == []
    assert (await other.send(room, "I am Ada"))["code"] == "not_joined"
    assert (await other.join(room, "Eve" if fixed is None else fixed))["ok"] is (fixed is None)


async def test_two_users_whose_tokens_name_them_alike_are_both_let_in(
    workers: tuple[ChatWorker, ChatWorker], room: str
) -> None:
    """The application named them so; a guest of that name still stays outside."""
    first, second, guest = (
        connect(workers[0], "42", "Ada"),
        connect(workers[1], "7", "Ada"),
        connect(workers[1]),
    )
    assert (await first.join(room, "Ada"))["ok"]
    assert (await second.join(room, "Ada"))["ok"]
    assert (await second.send(room, "I am Ada, too"))["ok"]
    assert (await guest.join(room, "ada"))["code"] == "name_taken"


async def test_a_user_joins_from_as_many_connections_as_it_likes(
    workers: tuple[ChatWorker, ChatWorker], room: str, client: redis.Redis
) -> None:
    tabs = [connect(worker, "42", "Ada") for worker in (*workers, *workers)]
    assert [(await tab.join(room, "Ada"))["count"] for tab in tabs] == [1, 1, 1, 1]
    assert await holders(client, room) == {b"ada": b"4 42"}
    await tabs[0].join(room, "Ada")
    assert await holders(client, room) == {b"ada": b"4 42"}, "joining again is no further session"
    for tab in tabs[:3]:
        await tab.call("leave", {"room": room})
    assert (await connect(workers[1]).join(room, "ada"))["code"] == "name_taken"
    await tabs[3].call("leave", {"room": room})
    assert await holders(client, room) == {}
    assert not await client.exists(keys.verified(room), keys.users(room))
    assert (await connect(workers[1]).join(room, "ada"))["ok"]


async def test_a_name_is_free_again_once_the_users_grace_period_is_over(
    workers: tuple[ChatWorker, ChatWorker], room: str, client: redis.Redis
) -> None:
    ada, eve = connect(workers[0], "42", "Ada"), connect(workers[1])
    await ada.join(room, "Ada")
    ada.close()
    assert (await eve.join(room, "ada"))["code"] == "name_taken", "it may be on its way back"

    async def is_free() -> bool:
        return not await client.exists(keys.verified(room))

    await until(is_free, what="the grace period is over")
    assert (await eve.join(room, "ada"))["ok"]


async def test_a_guest_who_was_there_first_stays_and_does_not_come_back(
    workers: tuple[ChatWorker, ChatWorker], room: str
) -> None:
    guest, ada = connect(workers[0]), connect(workers[1], "42", "Ada")
    await guest.join(room, "Ada")
    assert (await ada.join(room, "Ada"))["ok"], "a guest keeps no user out"
    assert (await guest.send(room, "still here"))["ok"]
    assert (await guest.join(room, "Ada"))["code"] == "name_taken"
    assert (await guest.send(room, "and stays"))["ok"], "a join that is refused leaves it where it was"
    await guest.call("leave", {"room": room})
    assert (await guest.join(room, "Ada"))["code"] == "name_taken"


async def test_nobody_speaks_for_a_user_on_the_way_back(
    workers: tuple[ChatWorker, ChatWorker], room: str
) -> None:
    ada = connect(workers[0], "42", "Ada")
    await ada.join(room, "Ada")
    for eve in (connect(workers[1]), connect(workers[1], "7")):
        assert (await eve.send(room, "I am Ada", username="Ada"))["code"] == "name_taken"
    ada.close()
    back = connect(workers[1], "42", "Ada")
    assert (await back.send(room, "it is me"))["ok"]


async def test_a_user_keeps_its_name_when_the_store_has_lost_it(
    workers: tuple[ChatWorker, ChatWorker], room: str, client: redis.Redis
) -> None:
    ada, guest = connect(workers[0], "42", "Ada"), connect(workers[0])
    await guest.join(room, "ADA")
    await ada.join(room, "Ada")
    await client.delete(keys.verified(room), keys.users(room), keys.members(room, workers[0].name))
    workers[0].tracker.register_again()

    async def are_back() -> bool:
        return await workers[1].users(room) == ["ADA", "Ada"]

    await until(are_back, what="both are put back")
    assert await holders(client, room) == {b"ada": b"1 42"}
    assert (await connect(workers[1]).join(room, "ada"))["code"] == "name_taken"


async def test_a_dead_workers_users_hold_no_names_any_more(
    workers: tuple[ChatWorker, ChatWorker], room: str, client: redis.Redis
) -> None:
    for user in ("1", "2"):
        await connect(workers[0], user).join(room, f"user {user}")
    await connect(workers[1], "2").join(room, "user 2")
    await connect(workers[0]).join(room, "guest")
    swept = await workers[1].presence.sweep(room, workers[0].name)
    assert sorted(swept.gone) == ["guest", "user 1"]
    assert await holders(client, room) == {b"user2": b"1 2"}


async def test_two_at_once_are_one_user_and_one_refusal(
    workers: tuple[ChatWorker, ChatWorker], room: str
) -> None:
    clients = [connect(worker, str(number)) for number, worker in enumerate((*workers, *workers), 1)]
    answers = await asyncio.gather(*(one.join(room, "Ada") for one in clients))
    assert sorted(answer["ok"] for answer in answers) == [False, False, False, True]


async def test_without_tokens_names_are_anybodys_and_nothing_is_kept(
    worker: ChatWorker, room: str, client: redis.Redis
) -> None:
    one, other = worker.connect(), worker.connect()
    assert [(await one.join(room, "Ada"))["ok"], (await other.join(room, "Аdа"))["ok"]] == [True, True]
    assert not await client.exists(keys.verified(room))
    stored = await client.hvals(keys.members(room, worker.name))
    assert all(b"looks" not in each and b'user"' not in each for each in stored)
    await until(lambda: one.notices() == ["Аdа has joined the room"], what="a name of its own")


async def test_members_are_told_who_has_shown_a_token(
    workers: tuple[ChatWorker, ChatWorker], room: str, client: redis.Redis
) -> None:
    """A guest who was there before the user is no user; two users whose tokens give them one name are two."""
    one, other = workers
    guest, ada, namesake = connect(one), connect(one, "42", "Ada"), connect(other, "u:7 x\x1fy", "Ada")
    tabs = [connect(other, "42", "Ada") for _ in range(2)]
    assert (await guest.join(room, "Аdа"))["ok"], "with a Cyrillic letter"
    for each in (ada, namesake, *tabs):
        assert (await each.join(room, "Ada"))["ok"]
    answer = await guest.call("members", {"room": room})
    assert (sorted(answer["members"]), answer["count"]) == (["Ada", "Аdа"], 2)
    users = [{"user": "42", "username": "Ada"}, {"user": "u:7 x\x1fy", "username": "Ada"}]
    assert sorted(answer["users"], key=lambda one: one["user"]) == users
    await namesake.call("leave", {"room": room})
    tabs[0].close()
    await ada.call("leave", {"room": room})
    assert (await guest.call("members", {"room": room}))["users"] == users[:1], "one tab is there"
    await tabs[1].call("leave", {"room": room})

    async def nobody_is() -> bool:
        return bool((await guest.call("members", {"room": room}))["users"] == [])

    await until(nobody_is, what="the grace period of the last tab is over")
    assert not await client.exists(keys.verified(room))


async def test_a_large_room_names_some_of_its_users(worker_of_tokens: ChatWorker, room: str) -> None:
    worker, key = worker_of_tokens, keys.verified(room)
    fields = [
        word for n in range(5000) for word in (f"{AS_USER}n{n}{AS_USER}u{n}", f"1 u{n}", f"n{n}", f"1 u{n}")
    ]
    await worker.store.call(key, "HSET", key, *fields)
    found = await worker.presence.identified(room, 200)
    assert len(set(found)) == len(found) == 200
    assert all(one.user == f"u{one.username[1:]}" for one in found)
    await worker.store.call(key, "DEL", key)
