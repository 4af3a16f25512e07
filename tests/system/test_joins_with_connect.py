"""Rooms named in CONNECT are joined before the client's first event: what was typed meanwhile is not refused."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient
from tests.support.waiting import until

pytestmark = pytest.mark.system


@pytest.mark.parametrize("away_ms", [1500, pytest.param(5000, marks=pytest.mark.long)])
async def test_what_a_stock_client_kept_while_its_worker_died_is_stored_once_each(
    redis_url: str, room: str, connect: Opener, javascript: None, away_ms: int
) -> None:
    async with Gateway(redis_url, workers=1) as gateway, JavaScriptClient() as ada:
        rooms = [{"room": room, "username": "Ada"}]
        await ada.connect(
            gateway.url, "websocket", rooms=rooms, reconnectionDelay=away_ms, randomizationFactor=0
        )
        assert (await ada.call("send", {"room": room, "message": "before"}))["ok"]
        (worker,) = gateway.worker_pids()
        os.kill(worker, signal.SIGKILL)
        await until(lambda: ada.disconnects, what="its connection is lost")
        texts = [f"typed while away {number}" for number in range(10)]
        sends = []
        for text in texts:
            sends.append(asyncio.create_task(ada.call("send", {"room": room, "message": text})))
            await asyncio.sleep(away_ms / 1000 / 15)
        answers = await asyncio.gather(*sends)
        assert [answer["ok"] for answer in answers] == [True] * 10
        assert ada.connects == 2
        witness: Member = await connect(gateway.url)
        await witness.join("witness", room)
        assert witness.messages(room) == ["before", *texts]
        await until(lambda: len([one for one in ada.received if "id" in one]) >= 11, what="its own come back")
        assert [one["message"] for one in ada.received if "id" in one] == ["before", *texts], "each once"
        joined = [data for name, data in ada.events if name == "joined"]
        assert [(one["ok"], one["room"], one.get("recovered")) for one in joined] == [
            (True, room, None),
            (True, room, True),
        ]
