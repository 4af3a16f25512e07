"""Events over a limit, as the chat handles them; against a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.access.connection_limits import ConnectionLimits
from gateway.limit_options import LimitOptions
from gateway.protocol import Refusal
from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.waiting import until


@pytest.fixture
async def limited(redis_url: str) -> AsyncIterator[ChatWorker]:
    """A worker with the limits that there are by default."""
    async with chat_worker(redis_url, timeout_s=10.0, limits=ConnectionLimits(LimitOptions(), 100)) as worker:
        yield worker


def is_told_to_go(client: Client) -> bool:
    return b"41" in client.recorder.packets


async def test_nothing_is_kept_for_a_client_that_has_said_nothing(limited: ChatWorker) -> None:
    client = limited.connect()
    assert (client.session.usage, client.session.user_usage) == (None, None)
    await client.emit("nonsense")
    assert client.session.usage is not None


async def test_who_is_ended_is_told_why_and_nothing_of_it_is_handled_any_more(
    limited: ChatWorker, room: str
) -> None:
    ann, ben = limited.connect(), limited.connect()
    await ann.join(room)
    await ben.join(room, "ben")
    for number in range(30):
        await ann.emit("nonsense", ack=number)
    await ann.emit("send", {"room": room, "message": "too late"})
    codes = [(data["code"], data["retryable"]) for data in ann.events("error")]
    assert codes == [("bad_request", False)] * 21 + [("rate_limited", False)]
    assert ann.recorder.packets[-1] == b"41"
    assert not ann.recorder.is_read
    await until(lambda: ann.recorder.ended == "server disconnect", what="its connection is closed")
    await ben.send(room, "still here")
    assert ben.messages() == ["still here"]


async def test_a_refusal_that_was_on_its_way_when_it_was_ended_changes_nothing(
    limited: ChatWorker, room: str
) -> None:
    ann = limited.connect()
    await ann.join(room)
    waits = [ann.session.on_event("history", [{"room": f"{room}-{number}"}], None) for number in range(5)]
    for _ in range(21):
        await ann.emit("nonsense")
    for waiting in waits:
        assert waiting is not None
        await waiting
    assert ann.recorder.packets.count(b"41") == 1


async def test_rooms_of_connect_that_are_refused_do_not_count(limited: ChatWorker, room: str) -> None:
    ann = limited.connect()
    bad = [{"room": "{}", "username": "ann"}] * 99
    await ann.connected({"join": [*bad, {"room": room, "username": "ann"}]})
    assert len(ann.events("error")) == 99
    assert [data["room"] for data in ann.events("joined")] == [room]
    assert not is_told_to_go(ann)
    assert (await ann.send(room, "hello"))["ok"]


@pytest.mark.parametrize("code", ["unavailable", "internal", "shutting_down"])
async def test_what_is_not_its_fault_costs_a_client_nothing(
    limited: ChatWorker, room: str, code: str
) -> None:
    ann = limited.connect()
    await ann.join(room)
    for _ in range(100):
        ann.session.refuse(Refusal(code), None)
    assert not is_told_to_go(ann)
    assert ann.recorder.refusals_charged == 0
