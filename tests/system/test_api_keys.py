"""Keys of backends at a running gateway: what a reload takes and refuses; and the client, while workers are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from gateway.access.api_keys import new_key
from gateway.backend import Backend, BackendError
from tests.support.backends import key_for, key_table
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.long]

KILLS = 10


async def reloaded(gateway: Gateway) -> None:
    """HUP, and the end of all workers of before."""
    before = set(gateway.worker_pids())
    os.kill(gateway.master_pid, signal.SIGHUP)
    await until(lambda: not before & set(gateway.worker_pids()), 60, "the old workers are gone")
    await until(gateway.is_ready, 60, "the new ones are ready")


async def answer_to(gateway: Gateway, key: str) -> str:
    with Backend(gateway.url, key) as backend:
        try:
            await asyncio.to_thread(backend.stats)
        except BackendError as error:
            return error.code
        return "ok"


async def test_hup_takes_new_keys_and_refuses_what_cannot_be_meant(
    redis_url: str, tmp_path: Path, room: str, connect: Opener
) -> None:
    file, first, second = tmp_path / "gw.toml", new_key(), new_key()
    third, configured = key_for("third")
    file.write_text(key_table(first, "first", ["read"], ["**"]))
    async with Gateway(
        redis_url, workers=2, GATEWAY_CONFIG=str(file), GATEWAY_API_KEYS=configured, GATEWAY_DRAIN_S="0"
    ) as gateway:
        assert [await answer_to(gateway, key) for key in (first, second, third)] == [
            "ok",
            "unauthorized",
            "ok",
        ]
        member = await connect(gateway.url)
        assert (await member.join("ann", room))["ok"], "a file with keys alone leaves rooms open"

        file.write_text(key_table(second, "second", ["read"], ["**"]))
        await reloaded(gateway)
        assert [await answer_to(gateway, key) for key in (first, second, third)] == [
            "unauthorized",
            "ok",
            "ok",
        ]

        file.write_text(key_table(first, "third", ["read"], ["**"]))
        await reloaded(gateway)
        assert "GATEWAY_API_KEYS) stands already at" in gateway.log()
        assert [await answer_to(gateway, key) for key in (first, second, third)] == [
            "unauthorized",
            "ok",
            "ok",
        ]
        assert not any(key in gateway.log() for key in (first, second, third))


async def test_a_name_in_the_file_and_in_the_variable_stops_the_start(redis_url: str, tmp_path: Path) -> None:
    file, (_, configured) = tmp_path / "gw.toml", key_for("backend")
    file.write_text(key_table(new_key(), "backend", ["read"], ["**"]))
    async with Gateway(
        redis_url, workers=1, wait=False, GATEWAY_CONFIG=str(file), GATEWAY_API_KEYS=configured
    ) as gateway:
        await until(lambda: not gateway.is_running(), 60, "it ends by itself")
        assert f"'backend' (GATEWAY_API_KEYS) stands already at {file}, line 1" in gateway.log()
        assert "Traceback" not in gateway.log()


async def test_the_client_says_everything_once_while_workers_are_killed(redis_url: str, room: str) -> None:
    """Each publish is answered, has its own place, and stands in the room once, in the order of the answers."""
    key, configured = key_for()
    ids: list[str] = []
    end = threading.Event()
    async with Gateway(redis_url, workers=2, GATEWAY_API_KEYS=configured) as gateway:
        with Backend(gateway.url, key, give_up_s=60) as backend:
            saying = asyncio.create_task(asyncio.to_thread(_say_until, backend, room, end, ids))
            try:
                for _ in range(KILLS):
                    said = len(ids)
                    await until(lambda: len(ids) > said + 100, 60, "it goes on")  # noqa: B023 -- used at once
                    await until(lambda: len(gateway.worker_pids()) == 2, 60, "both workers are there")
                    os.kill(gateway.worker_pids()[0], signal.SIGKILL)
            finally:
                end.set()
                await saying
            assert len(ids) > 100 * KILLS
            assert [int(each.rpartition(":")[2]) for each in ids] == list(range(1, len(ids) + 1))
            history = await asyncio.to_thread(backend.history, room)
            assert [each["message"] for each in history.messages] == [f"m{n}" for n in range(len(ids))][-100:]


def _say_until(backend: Backend, room: str, end: threading.Event, ids: list[str]) -> None:
    """Publishes one message after the other; `ids` gets their places."""
    while not end.is_set():
        ids.append(backend.publish(room, f"m{len(ids)}").id)
