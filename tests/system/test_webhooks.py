"""Webhooks of a running gateway: a real receiver is told what happens in rooms."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.topologies import cluster
from tests.support.waiting import until
from tests.support.webhook_receiver import Receiver, hooks_file, receiver

pytestmark = pytest.mark.system


async def test_a_receiver_is_told_of_messages_and_of_who_comes_and_goes(
    redis_url: str, tmp_path: Path, room: str, connect: Opener
) -> None:
    async with receiver() as app:
        file = hooks_file(tmp_path, {"url": app.url, "rooms": [room]})
        async with Gateway(redis_url, workers=2, GATEWAY_CONFIG=str(file), GATEWAY_GRACE_S="1") as gateway:
            ann = await connect(gateway.url)
            await ann.join("ann", room)
            answer = await ann.send(room, "hello")
            await until(lambda: app.of(room), 20, "the message is posted")
            (message,) = app.of(room)
            assert message["id"] == answer["id"]
            assert (message["username"], message["message"]) == ("ann", "hello")
            assert isinstance(message["__createdtime__"], int)
            await until(lambda: app.of(room, "occupied") and app.of(room, "joined"), 10, "occupied, joined")
            await ann.call("leave", {"room": room, "username": "ann"})
            await until(lambda: app.of(room, "left"), 10, "left")
            assert not app.forged
        assert "Traceback" not in gateway.log()


def state(app: Receiver, room: str) -> str:
    """What the receiver believes: the state with the highest version."""
    states = app.of(room, "occupied") + app.of(room, "vacated")
    return str(max(states, key=lambda event: int(event["version"]))["type"]) if states else ""


@pytest.mark.long
async def test_thirty_seconds_after_a_kill_a_receiver_believes_what_is_true(
    redis_url: str, tmp_path: Path, room: str, connect: Opener
) -> None:
    async with receiver() as app:
        app.fails_share = 0.3
        file = hooks_file(tmp_path, {"url": app.url, "rooms": [f"{room}:*"], "events": ["room"]})
        async with Gateway(redis_url, workers=4, GATEWAY_CONFIG=str(file)) as gateway:
            members = {f"{room}:{number}": await connect(gateway.url) for number in range(40)}
            for name, member in members.items():
                await member.join("ann", name)
            await until(lambda: all(state(app, name) == "occupied" for name in members), 30, "occupied")
            for pid in gateway.worker_pids()[:2]:
                os.kill(pid, signal.SIGKILL)
            killed_s = time.monotonic()
            await until(lambda: sum(member.closed.is_set() for member in members.values()) > 5, 10)
            await asyncio.sleep(1)
            truth = {
                name: "vacated" if member.closed.is_set() else "occupied" for name, member in members.items()
            }
            assert set(truth.values()) == {"vacated", "occupied"}
            await until(lambda: {name: state(app, name) for name in members} == truth, 30, "the truth")
            taken_s = time.monotonic() - killed_s
            print(f"the truth after {taken_s:.1f} s, {list(truth.values()).count('vacated')} rooms vacated")
            assert taken_s < 30


@pytest.mark.long
async def test_hup_brings_webhooks_and_what_is_said_meanwhile_is_told(
    redis_url: str, tmp_path: Path, room: str, connect: Opener
) -> None:
    async with receiver() as app:
        file = hooks_file(tmp_path)
        async with Gateway(redis_url, workers=2, GATEWAY_CONFIG=str(file), GATEWAY_DRAIN_S="3") as gateway:
            hooks_file(tmp_path, {"url": app.url, "name": room[-8:], "events": ["message"]})
            for turn in range(3):
                said = await said_over_a_reload(gateway, room, connect, turn)
                if turn:  # in the first turn workers of before may have taken some, and know of no webhook
                    await until(partial(is_told, app, room, said), 40, "all is told")
            assert "Traceback" not in gateway.log()


def is_told(app: Receiver, room: str, said: list[str]) -> bool:
    return set(said) <= set(app.texts(room))


async def said_over_a_reload(gateway: Gateway, room: str, connect: Opener, turn: int) -> list[str]:
    """Says something all the time while all workers are replaced; returns what was acknowledged."""
    before, said, number = set(gateway.worker_pids()), list[str](), 0
    os.kill(gateway.master_pid, signal.SIGHUP)
    member: Member | None = None
    while before & set(gateway.worker_pids()):
        text = f"{turn}-{number}"
        try:
            if member is None:
                member = await connect(gateway.url)
                await member.join("ann", room)
            if (await member.send(room, text, idempotency_key=text))["ok"]:
                said.append(text)
                number += 1
        except ConnectionError:
            member = None
        await asyncio.sleep(0.1)
    return said


@pytest.mark.long
async def test_a_worker_that_stands_still_loses_its_leases_and_nothing_is_told_out_of_order(
    redis_url: str, tmp_path: Path, room: str, connect: Opener
) -> None:
    async with receiver() as app:
        file = hooks_file(tmp_path, {"url": app.url, "rooms": [f"{room}:*"], "events": ["message"]})
        async with Gateway(redis_url, workers=2, GATEWAY_CONFIG=str(file)) as gateway:
            members = [await connect(gateway.url) for _ in range(6)]
            rooms = [f"{room}:{number}" for number in range(32)]
            os.kill(stopped := gateway.worker_pids()[0], signal.SIGSTOP)
            try:
                member = await any_that_answers(members, rooms)
                for number in range(10):
                    for name in rooms:
                        assert (await member.send(name, f"{number}"))["ok"]
                told = [f"{number}" for number in range(10)]
                await until(lambda: all(app.texts(name) == told for name in rooms), 40, "all is told")
            finally:
                os.kill(stopped, signal.SIGCONT)
            await member.send(rooms[0], "last")
            await until(lambda: app.texts(rooms[0])[-1] == "last", 40)
            assert all(app.texts(name)[:10] == told for name in rooms)


async def any_that_answers(members: list[Any], rooms: list[str]) -> Any:
    """A member of a worker that does not stand still, in all the rooms."""
    for member in members:
        try:
            for name in rooms:
                assert (await asyncio.wait_for(member.join("ann", name), 3))["ok"]
        except TimeoutError:
            continue
        return member
    raise AssertionError("all of them are at the worker that stands still")


@pytest.mark.long
@pytest.mark.parametrize("route", ["shared", "per-room"])
async def test_every_route_tells(
    redis_url: str, tmp_path: Path, room: str, connect: Opener, route: str
) -> None:
    async with receiver() as app:
        file = hooks_file(tmp_path, {"url": app.url, "rooms": [room]})
        async with Gateway(redis_url, workers=2, GATEWAY_CONFIG=str(file), GATEWAY_ROUTE=route) as gateway:
            ann = await connect(gateway.url)
            await ann.join("ann", room)
            await ann.send(room, "hello")
            await until(lambda: app.texts(room) == ["hello"] and state(app, room) == "occupied", 30)


@pytest.mark.long
async def test_a_cluster_tells_of_rooms_on_all_its_primaries(
    tmp_path: Path, room: str, connect: Opener
) -> None:
    async with receiver() as app, cluster(persistence="none") as found:
        file = hooks_file(tmp_path, {"url": app.url})
        async with Gateway(found.url, workers=2, GATEWAY_CONFIG=str(file)) as gateway:
            ann, rooms = await connect(gateway.url), [f"{room}-{number}" for number in range(12)]
            for name in rooms:
                await ann.join("ann", name)
                assert (await ann.send(name, "hello"))["ok"]
            await until(lambda: all(app.texts(name) for name in rooms), 30, "all messages")
            await until(lambda: all(state(app, name) == "occupied" for name in rooms), 30, "all states")
            assert "Traceback" not in gateway.log()


@pytest.mark.long
async def test_what_the_application_publishes_into_an_empty_room_is_told_with_user_and_meta_and_redacted(
    redis_url: str, tmp_path: Path, room: str
) -> None:
    key = "gwk_" + "a" * 43
    async with receiver() as app:
        file = hooks_file(tmp_path, {"url": app.url, "rooms": [room]})
        options = {"GATEWAY_API_KEYS": f"backend:{hashlib.sha256(key.encode()).hexdigest()}"}
        async with Gateway(redis_url, workers=2, environment=options, GATEWAY_CONFIG=str(file)) as gateway:
            said = {"room": room, "message": "hello", "user": "42", "meta": {"ticket": 7}}
            headers = {"Authorization": f"Bearer {key}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                async with session.post(f"{gateway.url}/api/v1/publish", json=said) as answer:
                    assert answer.status == 200, await answer.text()
                    position = (await answer.json())["id"]
                await until(lambda: app.of(room), 30, "the message")
                redacted = {"room": room, "id": position, "by": "mod"}
                async with session.post(f"{gateway.url}/api/v1/redact", json=redacted) as answer:
                    assert answer.status == 200, await answer.text()
                await until(lambda: app.of(room, "changed"), 30, "the change")
            (event,), (change,) = app.of(room), app.of(room, "changed")
            assert (event["id"], event["user"], event["meta"]) == (position, "42", {"ticket": 7})
            assert (change["id"], change["kind"], change["message"]) == (position, "redacted", "")
