"""What people type while their connection is away is in the room once it is back, before the page joins again.

By the stock JavaScript client, which keeps what is emitted meanwhile and sends it before its `connect` event.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import orjson

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.spread import one_on_each
from tests.support.stock_clients import JavaScriptClient
from tests.support.waiting import until


async def test_sends_that_were_kept_while_a_worker_died_are_taken(
    redis_url: str, room: str, connect: Opener, javascript: None
) -> None:
    async with Gateway(redis_url, workers=2, GATEWAY_LOG_FORMAT="json") as gateway, JavaScriptClient() as ada:
        witnesses = await one_on_each(gateway, connect)
        for number, witness in enumerate(witnesses):
            await witness.join(f"witness-{number}", room)
        await ada.connect(gateway.url, "websocket", reconnectionDelay=500, randomizationFactor=0)
        assert (await ada.call("join", {"username": "Ada", "room": room}))["ok"]
        os.kill(_pid_of(ada.engine_id.partition(".")[0], gateway), signal.SIGKILL)
        await until(lambda: ada.disconnects, what="its connection is lost")

        kept = [f"typed while away {number}" for number in range(3)]
        sent = {"username": "Ada", "room": room}
        answers = await asyncio.gather(*(ada.call("send", {**sent, "message": text}) for text in kept))
        assert [answer["ok"] for answer in answers] == [True] * 3
        assert ada.connects == 2
        survivor = next(each for each in witnesses if not each.closed.is_set())
        await until(lambda: survivor.messages(room) == kept, what="the others get all of them, in order")
        assert "Ada has left the room" not in survivor.notices(room)

        await ada.emit("send", {**sent, "message": "no longer buffered, and not joined yet"})
        joined = await ada.call("join", {**sent})
        assert joined["id"].endswith(":4")
        await until(lambda: len(ada.received) >= 4, what="its own messages come with the history")
        assert [data["message"] for data in ada.received if "id" in data][:3] == kept


async def test_a_stranger_who_never_joined_is_told_to_join_and_try_again(
    gateway: Gateway, room: str, connect: Opener
) -> None:
    member: Member = await connect(gateway.url)
    await (await connect(gateway.url)).join("Ada", room)
    for sent in ({"username": "Eve"}, {}):
        answer: dict[str, Any] = await member.send(room, "x", **sent)
        assert (answer["code"], answer["retryable"]) == ("not_joined", True)


def _pid_of(worker: str, gateway: Gateway) -> int:
    lines = [orjson.loads(line) for line in gateway.log().splitlines() if '"worker_started"' in line]
    return next(int(line["pid"]) for line in lines if line["worker"] == worker)
