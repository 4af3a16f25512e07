"""What is traced, who says so, and what no span holds: one gateway of one worker, and a collector."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import TracerProvider

from gateway.backend import AsyncBackend, Backend, calls
from tests.support.backends import backend, key_for
from tests.support.clients import Member
from tests.support.collector import Collector, collector
from tests.support.gateways import Gateway
from tests.support.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

KEY, KEYS = key_for("shop")
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
PUBLISH = "POST /api/v1/publish"
ONE_IN = 5


class Traced(NamedTuple):
    """A gateway that traces one send in `ONE_IN`, and where its spans come in."""

    url: str
    found: Collector

    @asynccontextmanager
    async def member(self, name: str, room: str) -> AsyncIterator[Member]:
        """Somebody in a room, who speaks of a trace."""
        member = await Member.connect(self.url, auth={"traceparent": SAMPLED})
        try:
            await member.join(name, room)
            yield member
        finally:
            await member.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(redis_url: str) -> AsyncIterator[Traced]:
    async with collector() as found:
        environment = found.environment(GATEWAY_API_KEYS=KEYS, GATEWAY_OTEL_SENDS_ONE_IN=str(ONE_IN))
        async with Gateway(redis_url, workers=1, environment=environment) as gateway:
            yield Traced(gateway.url, found)


@pytest_asyncio.fixture(loop_scope="module")
async def traced(gateway: Traced) -> Traced:
    """The same, for a test that begins to look at spans now; those before have waited for all of theirs."""
    gateway.found.spans.clear()
    gateway.found.bodies.clear()
    return gateway


async def say(member: Member, room: str, count: int) -> None:
    """Sends messages that speak of a trace."""
    for number in range(count):
        said = {
            "room": room,
            "message": f"secret {number}",
            "traceparent": SAMPLED,
            "meta": {"traceparent": SAMPLED},
        }
        assert (await member.call("send", said))["ok"] is True
    await until(lambda: len(member.messages(room)) >= count, what="all messages are back")


async def test_the_history_and_members_never_see_a_trace_and_spans_no_person(
    traced: Traced, room: str
) -> None:
    async with traced.member("Mallory-the-user", room) as member, backend(traced.url, KEY) as shop:
        await shop.call("publish", {"traceparent": SAMPLED}, room=room, message="secret words", user="u-77")
        await say(member, room, ONE_IN)
        stored = await shop.ok("history", room=room)
        await traced.found.has(6)
        fields = {"message", "username", "__createdtime__", "room", "id"}
        seen = [set(each) for each in member.received if "id" in each]
        assert seen == [fields | {"user"}, *([fields | {"meta"}] * ONE_IN)]
        of_members = [{**each, "meta": None} for each in (*member.received, *stored["messages"])]
        assert TRACE not in str(of_members)
        sent = b"".join(traced.found.bodies)
        for word in (room, "secret", "Mallory", "u-77", KEY, KEYS, "127.0.0.1", member.sid):
            assert word.encode() not in sent, word


async def test_who_has_shown_a_key_says_which_trace_it_is_and_whether_it_is_sampled(
    traced: Traced, room: str
) -> None:
    async with backend(traced.url, "wrong") as stranger, backend(traced.url, KEY) as shop:
        assert (await stranger.call("publish", {"traceparent": SAMPLED}, room=room)).status == 401
        assert (await shop.call("publish", {"traceparent": UNSAMPLED}, room=room, message="m")).status == 200
        for broken in ("", "00-" + "0" * 32 + f"-{CALLER}-01", "x" * 5000, SAMPLED.upper()):
            assert (await shop.call("publish", {"traceparent": broken}, room=room)).status == 400
        assert (await shop.call("publish", {"traceparent": SAMPLED}, room=room, message="m")).status == 200
    await traced.found.has(6)
    found = traced.found.named(PUBLISH)
    assert [span.parent for span in found] == ["", "", "", "", CALLER]
    assert [span.says["http.response.status_code"] for span in found] == [400] * 4 + [200]
    assert {span.says.get("error.type") for span in found} == {"bad_request", None}
    assert len(traced.found.spans) == 6, "what is not sampled is no span either where it is stored"


async def test_the_client_of_backends_says_in_which_span_it_is_called(traced: Traced, room: str) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("of an application")
    shop = Backend(traced.url, KEY)
    async with AsyncBackend(traced.url, KEY) as other:
        with tracer.start_as_current_span("order") as order:
            await asyncio.to_thread(shop.publish, room, "from a thread")
            await other.do(calls.publish(room, "from a loop"))
        await other.do(calls.publish(room, "outside"))
    shop.close()
    await traced.found.has(6)
    span = f"{order.get_span_context().span_id:016x}"
    assert [each.parent for each in traced.found.named(PUBLISH)] == [span, span, ""]


async def test_one_in_so_many_sends_begins_a_trace_of_its_own_and_no_client_says_which(
    traced: Traced, room: str
) -> None:
    async with traced.member("ann", room) as member:
        await say(member, room, 4 * ONE_IN)
        await traced.found.has(8)
        stores, deliveries = traced.found.named("store"), traced.found.named("deliver")
        assert len(stores) == len(deliveries) == 4
        assert {span.parent for span in stores} == {""}
        assert {span.says["gateway.origin"] for span in stores} == {"send"}
        assert {(span.trace, span.id) for span in stores} == {
            (span.trace, span.parent) for span in deliveries
        }
        assert len({span.trace for span in stores} - {TRACE}) == 4
        places = sorted(member.ids(room).index(span.says["messaging.message.id"]) for span in deliveries)
        assert [place - places[0] for place in places] == [0, ONE_IN, 2 * ONE_IN, 3 * ONE_IN]


async def test_a_broadcast_traces_some_of_its_rooms_and_a_repeated_message_is_delivered_once(
    traced: Traced, room: str
) -> None:
    async with traced.member("ann", room), backend(traced.url, KEY) as shop:
        rooms = [room, *(f"{room}-{number}" for number in range(40))]
        await shop.ok("broadcast", rooms=rooms, message="to all")
        for _ in range(2):
            await shop.ok("publish", room=room, message="once", idempotency_key="k")
        await traced.found.has(27)
    (call,), stores = traced.found.named("POST /api/v1/broadcast"), traced.found.named("store")
    assert len([span for span in stores if span.parent == call.id]) == 20
    assert [span.says["gateway.duplicate"] for span in stores].count(True) == 1
    assert len(traced.found.named("deliver")) == 2, "of the room that somebody is in, and of what was stored"
