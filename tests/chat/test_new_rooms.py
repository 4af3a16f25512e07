"""A bound on the rooms that one user makes: of users over all their connections, of guests by connection."""

from __future__ import annotations

from gateway.access.identity import Identity
from gateway.access.new_rooms import HOUR_S, OWNERS_MAX, NewRooms
from tests.support.chat_worker import ChatWorker, Client, chat_worker

MOST = 3


async def made(client: Client, rooms: list[str]) -> list[bool]:
    return [(await client.join(room))["ok"] for room in rooms]


def rooms(room: str, first: int, count: int) -> list[str]:
    return [f"{room}-{number}" for number in range(first, first + count)]


async def test_who_has_made_too_many_joins_only_those_that_are_there(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, timeout_s=10.0, new_rooms=MOST) as worker:
        eve, ann = worker.connect(), worker.connect()
        assert await made(eve, rooms(room, 0, MOST)) == [True] * MOST
        refused = await eve.join(f"{room}-3")
        assert (refused["ok"], refused["code"], refused["retryable"]) == (False, "rate_limited", True)
        assert 0 < refused["retry_after_ms"] <= HOUR_S * 1000 / MOST
        assert eve.events("error")[-1]["retry_after_ms"] == refused["retry_after_ms"]
        assert await made(ann, rooms(room, 3, 1)) == [True], "another guest's connection has its own"
        assert await made(eve, rooms(room, 0, 4)) == [True] * 4, "all of them are there now"
        assert await made(worker.connect(), rooms(room, 4, MOST)) == [True] * MOST


async def test_a_users_connections_count_together(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, timeout_s=10.0, new_rooms=MOST) as worker:
        one, other = (worker.connect(identity=Identity("42")) for _ in range(2))
        assert await made(one, rooms(room, 0, 2)) == [True] * 2
        assert await made(other, rooms(room, 2, 2)) == [True, False]
        assert await made(worker.connect(identity=Identity("7")), rooms(room, 4, MOST)) == [True] * MOST


async def test_rooms_that_were_there_cost_nothing(redis_url: str, room: str, worker: ChatWorker) -> None:
    ann = worker.connect()
    assert await made(ann, rooms(room, 0, 20)) == [True] * 20, "0 is no limit"
    async with chat_worker(redis_url, timeout_s=10.0, new_rooms=MOST) as other:
        eve = other.connect()
        assert await made(eve, rooms(room, 0, 20)) == [True] * 20
        assert await made(eve, rooms(room, 20, MOST + 1)) == [True] * MOST + [False]


def test_a_room_may_be_made_again_after_its_part_of_an_hour() -> None:
    new_rooms, now_s = NewRooms(MOST), 1000.0
    for _ in range(MOST):
        assert new_rooms.wait_s("eve", now_s) == 0
        new_rooms.note("eve", now_s)
    assert round(new_rooms.wait_s("eve", now_s)) == HOUR_S / MOST
    assert new_rooms.wait_s("eve", now_s + HOUR_S / MOST + 0.001) == 0
    assert new_rooms.wait_s("ann", now_s) == 0


def test_what_is_remembered_is_bounded_and_forgotten() -> None:
    new_rooms = NewRooms(10)
    for number in range(OWNERS_MAX + 100):
        new_rooms.note(f"g{number}", 0.0)
    assert len(new_rooms) == OWNERS_MAX
    for number in range(OWNERS_MAX):
        new_rooms.note("eve", HOUR_S + number)
    assert len(new_rooms) <= 1
    nobody = NewRooms(0)
    nobody.note("eve", 0.0)
    assert (len(nobody), nobody.wait_s("eve", 0.0)) == (0, 0)
