"""Joins at awkward moments: slow snapshots, time-outs, full sockets, connections that drop half-way."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.waiting import HeldUp, in_time, tried_again, until


async def test_traffic_during_a_slow_join_is_neither_missed_nor_doubled(
    worker: ChatWorker, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ann.send(room, "m0")
    worker.histories.is_held = True
    joining = asyncio.create_task(ben.join(room, "ben"))
    await until(lambda: worker.histories.held == 1, what="the snapshot was read")
    for number in range(1, 5):
        await ann.send(room, f"m{number}")
    await until(lambda: len(ann.messages()) == 5, what="the messages")
    assert ben.messages() == []
    worker.histories.is_held = False
    assert (await joining)["ok"]
    await ann.send(room, "m5")
    await until(lambda: ben.messages() == [f"m{number}" for number in range(6)], what="all in order")


async def test_joins_that_arrive_together_share_one_read(worker: ChatWorker, room: str) -> None:
    worker.histories.is_held = True
    clients = [worker.connect() for _ in range(30)]
    joins = [
        asyncio.create_task(client.join(room, f"user-{number}")) for number, client in enumerate(clients)
    ]
    await until(lambda: worker.histories.held == 1, what="the snapshot was read")
    worker.histories.is_held = False
    assert all(answer["ok"] for answer in await asyncio.gather(*joins))
    assert worker.histories.held <= 2


async def test_since_ahead_of_a_shared_snapshot_is_honoured_by_a_fresher_one(
    worker: ChatWorker, room: str
) -> None:
    ann, ben, cy = worker.connect(), worker.connect(), worker.connect()
    await ann.join(room)
    worker.histories.is_held = True
    early = asyncio.create_task(ben.join(room, "ben"))
    await until(lambda: worker.histories.held == 1, what="the snapshot was read")
    seen = (await ann.send(room, "m1"))["id"]  # cy saw it elsewhere
    late = asyncio.create_task(cy.join(room, "cy", since=seen))
    await until(lambda: worker.hub.rooms[room].joining == 2, what="both are on their way")
    worker.histories.is_held = False
    answer = await late
    assert (answer["recovered"], answer["id"], cy.messages()) == (True, seen, [])
    assert (await early)["ok"]
    await until(lambda: ben.messages() == ["m1"], what="the message")


@pytest.mark.system
async def test_joining_again_goes_on_by_position_when_it_fails(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url) as worker:
        await _fails_and_goes_on(worker, room)


async def _fails_and_goes_on(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    worker.histories.is_held = True
    again = asyncio.create_task(ben.join(room, "ben"))
    await until(lambda: worker.histories.held == 1, what="the snapshot was read")
    await ann.send(room, "m1")
    answer = await again
    assert (answer["ok"], answer["code"], answer["retryable"]) == (False, "unavailable", True)
    worker.histories.is_held = False
    await until(lambda: ben.messages() == ["m1"], what="it is brought up")
    await ann.send(room, "m2")
    await until(lambda: ben.messages() == ["m1", "m2"], what="it is live again")


async def test_one_who_is_behind_does_not_become_live_by_joining(worker: ChatWorker, room: str) -> None:
    ann, ben = worker.connect(), worker.connect(mark=3)
    other = f"{room}-other"
    await ann.join(other)
    await ben.join(room, "ben")
    await until(lambda: not ben.recorder.is_behind, what="not yet behind")
    for number in range(4):
        await ben.send(room, f"m{number}")
    assert ben.recorder.is_behind
    joining = asyncio.create_task(ben.join(other, "ben"))
    await until(lambda: other in ben.session.rooms, what="it has joined")
    await ann.send(other, "live")
    await until(lambda: ann.messages() == ["live"], what="the message")
    assert "live" not in ben.messages()
    assert not joining.done()
    ben.recorder.drain()
    assert (await joining)["id"] == ann.events("receive")[-1]["id"], "where the room is now"
    await until(lambda: "live" in ben.messages(), what="it is brought up")


async def test_a_history_of_many_pieces_comes_whole_and_then_the_answer(
    worker: ChatWorker, room: str
) -> None:
    """A socket that is behind after one packet: each piece waits until the one before has been read."""
    ann, ben = worker.connect(), worker.connect(mark=1)
    await ann.join(room)
    text = "\U0001f600" * 4096
    for number in range(12):
        await ann.send(room, f"{number}{text[:-2]}")
    number = 7
    await ben.emit("join", {"username": "ben", "room": room}, ack=number)
    await ann.send(room, "live")
    for _ in range(40):
        await until(lambda: ben.recorder.is_behind or acknowledged(ben, number), what="a piece")
        assert len(ben.recorder.packets) < 14 or acknowledged(ben, number)
        ben.recorder.drain()
    await until(lambda: acknowledged(ben, number), what="the answer")
    assert [message[:4] for message in ben.messages()] == [message[:4] for message in ann.messages()]
    assert len(ben.messages()) == 13
    places = [at for at, packet in enumerate(ben.recorder.packets) if packet.startswith(b"43")]
    assert places == [13], "once, behind the history"
    await ann.send(room, "after")
    await until(lambda: ben.messages()[-1] == "after", what="it is live")


async def test_a_join_whose_history_is_on_its_way_is_answered_when_the_client_leaves(
    worker: ChatWorker, room: str
) -> None:
    ann, ben = worker.connect(), worker.connect(mark=1)
    await ann.join(room)
    for _ in range(4):
        await ann.send(room, "\U0001f600" * 4096)
    await ben.emit("join", {"username": "ben", "room": room}, ack=7)
    assert not acknowledged(ben, 7)
    await ben.emit("leave", {"username": "ben", "room": room}, ack=8)
    assert acknowledged(ben, 7)
    assert acknowledged(ben, 8)


def acknowledged(client: Client, number: int) -> bool:
    """Whether an event has been answered."""
    return any(packet.startswith(b"43%d[" % number) for packet in client.recorder.packets)


async def test_a_connection_that_drops_while_it_joins_is_not_left_behind(redis_url: str, room: str) -> None:
    async with chat_worker(redis_url, grace_s=0.2) as worker:
        ann = worker.connect()
        worker.histories.is_held = True
        joining = asyncio.create_task(ann.emit("join", {"username": "ann", "room": room}))
        await until(lambda: worker.histories.held == 1, what="the snapshot was read")
        ann.close()
        worker.histories.is_held = False
        await joining

        async def is_gone() -> bool:
            return await worker.users(room) == [] and room not in worker.hub.rooms

        await until(is_gone, what="the session left and the room is given up")
        assert ann.recorder.packets == []


@tried_again(HeldUp)
async def test_a_room_is_kept_for_a_while_and_then_given_up(redis_url: str) -> None:
    room = f"room-{uuid.uuid4().hex}"
    async with chat_worker(redis_url, grace_s=0.2) as worker:
        ann = worker.connect()
        await ann.join(room)
        opened = worker.hub.rooms[room]
        left_at = time.monotonic()
        await ann.call("leave", {"room": room})
        await ann.join(room)
        in_time(left_at, 0.2)
        assert worker.hub.rooms[room] is opened
        await ann.call("leave", {"room": room})
        await until(lambda: room not in worker.hub.rooms, what="the room is given up")
        await ann.join(room)
        await ann.send(room, "m1")
        await until(lambda: ann.messages() == ["m1"], what="and taken up again")
