"""Traces, by a collector that takes them as OpenTelemetry sends them, from real gateways."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.support.backends import backend, key_for
from tests.support.collector import Collector, Span, collector
from tests.support.gateways import REPOSITORY, Gateway
from tests.support.opener import Opener
from tests.support.spread import one_on_each
from tests.support.topologies import cluster, sentinels
from tests.support.waiting import stays, until

pytestmark = pytest.mark.system

KEY, KEYS = key_for("shop")
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
PUBLISH = "POST /api/v1/publish"


def traced(url: str, to: Collector, **more: str) -> Gateway:
    """A gateway of one worker that sends its traces there."""
    return Gateway(url, workers=1, environment=to.environment(GATEWAY_API_KEYS=KEYS, **more))


def two_traced(url: str, to: Collector, **more: str) -> Gateway:
    """The same of two workers."""
    return Gateway(url, workers=2, environment=to.environment(GATEWAY_API_KEYS=KEYS, **more))


@asynccontextmanager
async def by_the_run(redis_url: str) -> AsyncIterator[str]:
    yield redis_url


@asynccontextmanager
async def by_sentinel(redis_url: str) -> AsyncIterator[str]:
    async with sentinels() as found:
        yield found.url


@asynccontextmanager
async def by_cluster(redis_url: str) -> AsyncIterator[str]:
    async with cluster() as found:
        yield found.url


ROUTES: dict[str, tuple[Callable[[str], AbstractAsyncContextManager[str]], str]] = {
    "a channel for each room": (by_the_run, "per-room"),
    "one channel for all": (by_the_run, "shared"),
    "Sentinel": (by_sentinel, "auto"),
    "a Cluster": (by_cluster, "auto"),
}
QUICK, *SLOW = ROUTES


@pytest.mark.parametrize("route", [QUICK, *(pytest.param(each, marks=pytest.mark.long) for each in SLOW)])
async def test_a_publish_of_a_backend_is_one_trace_from_the_call_to_the_delivery_of_each_worker(
    redis_url: str, connect: Opener, room: str, route: str
) -> None:
    place, name = ROUTES[route]
    async with (
        place(redis_url) as url,
        collector() as found,
        two_traced(url, found, GATEWAY_ROUTE=name) as gateway,
    ):
        members = await one_on_each(gateway, connect)
        members.append(await connect(gateway.url))
        for number, member in enumerate(members):
            await member.join(f"user-{number}", room)
        async with backend(gateway.url, KEY) as shop:
            answer = await shop.call("publish", {"traceparent": SAMPLED}, room=room, message="hello")
        assert answer.status == 200
        await until(lambda: all(member.messages(room) == ["hello"] for member in members), what="all have it")
        spans = await found.has(4)
        refuse_other_spans(found)
        (call,), (store,) = found.named(PUBLISH), found.named("store")
        deliveries = found.named("deliver")
        assert {span.trace for span in spans} == {TRACE}
        assert (call.parent, store.parent) == (CALLER, call.id)
        assert {(span.parent, *span.links) for span in deliveries} == {(store.id, store.id)}
        assert (call.kind, store.kind, deliveries[0].kind) == ("server", "producer", "consumer")
        assert {span.source["service.instance.id"] for span in deliveries} == await gateway.worker_names()
        assert sum(span.says["gateway.members"] for span in deliveries) == 3
        assert all(span.says["gateway.live"] for span in deliveries)
        assert {span.says["messaging.message.id"] for span in (store, *deliveries)} == {answer.data["id"]}
        assert call.says["http.response.status_code"] == 200
        assert (call.says["http.route"], store.says["gateway.origin"]) == ("/api/v1/publish", "api")
        assert call.begun_ns <= store.begun_ns <= store.ended_ns <= call.ended_ns
        assert all(store.begun_ns < span.begun_ns <= span.ended_ns for span in deliveries)


def refuse_other_spans(found: Collector) -> None:
    """A call, a store, and two workers' deliveries are all that there is."""
    names = sorted(span.name for span in found.spans)
    assert names == [PUBLISH, "deliver", "deliver", "store"]


@pytest.mark.long
async def test_the_call_of_the_page_is_the_trace_of_the_page(redis_url: str, connect: Opener) -> None:
    page = (REPOSITORY / "docs/tracing.md").read_text()
    (command,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (shown,) = re.findall(r"```text\nyour span\n(.*?)```", page, re.DOTALL)
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    async with collector() as found, two_traced(redis_url, found) as gateway:
        for member in await one_on_each(gateway, connect):
            await member.join(f"of-{member.sid[:8]}", "lobby")
        command = f"GATEWAY_KEY={KEY}\n{command.replace('http://localhost:8006', gateway.url)}"
        process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        told, _ = await process.communicate()
        assert re.fullmatch(rb'\{"id":"[^"]+:\d+","duplicate":false\}', told)
        await found.has(4)
        assert list(tree(found.spans, CALLER)) == shown.splitlines()


def tree(spans: list[Span], parent: str, before: str = "") -> Iterator[str]:
    """The spans below one, as the page shows them."""
    below = [span for span in spans if span.parent == parent]
    for number, span in enumerate(below, 1):
        yield f"{before}{'└' if number == len(below) else '├'}─ {span.name}"
        yield from tree(spans, span.id, before + ("   " if number == len(below) else "│  "))


async def test_a_collector_that_is_away_costs_one_line_and_nothing_else(
    redis_url: str, connect: Opener, room: str
) -> None:
    async with collector() as found:
        more = {"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}
        found.status = 400  # of what may pass the library tries again for seconds
        async with traced(redis_url, found, GATEWAY_OTEL_SENDS_ONE_IN="1", **more) as gateway:
            member = await connect(gateway.url)
            await member.join("ann", room)
            for number in range(200):
                await member.emit("send", {"room": room, "message": f"m{number}"})
            await until(lambda: len(member.messages(room)) == 200, what="all messages")
            await until(
                lambda: len(found.bodies) > 3 and "traces_not_sent" in gateway.log(), what="some batches"
            )
            assert gateway.log().count("traces_not_sent") == 1
            assert found.url not in gateway.log()
            assert "Traceback" not in gateway.log()
            found.held = asyncio.Event()  # now it takes requests and answers none
            assert (await member.call("send", {"room": room, "message": "last"}))["ok"] is True
            await gateway.stop()  # or kills it
            assert "traces_left_behind" in gateway.log()
            assert "worker_stopped" in gateway.log()


@pytest.mark.long
async def test_what_ended_last_is_sent_at_the_end_of_a_worker(redis_url: str, room: str) -> None:
    async with collector() as found:
        async with traced(redis_url, found, OTEL_BSP_SCHEDULE_DELAY="60000") as gateway:
            async with backend(gateway.url, KEY) as shop:
                await shop.ok("publish", room=room, message="m")
            await stays(lambda: not found.spans, 0.3, "nothing is sent before its time")
            await gateway.stop()
        assert {span.name for span in found.spans} == {PUBLISH, "store"}
        assert "traces_left_behind" not in gateway.log()


@pytest.mark.long
async def test_the_variables_of_opentelemetry_count(redis_url: str, room: str) -> None:
    said = {"OTEL_SERVICE_NAME": "our-chat", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
    async with (
        collector() as found,
        traced(redis_url, found, OTEL_TRACES_SAMPLER="always_off", **said) as none,
    ):
        async with backend(none.url, KEY) as shop:
            await shop.ok("publish", room=room, message="m")
            await stays(lambda: not found.spans, 0.5, "nothing is sampled")
    async with collector() as found, traced(redis_url, found, **said) as gateway:
        async with backend(gateway.url, KEY) as shop:
            await shop.ok("publish", room=room, message="m")
        source = (await found.has(2))[0].source
        assert (source["service.name"], source["deployment.environment.name"]) == ("our-chat", "test")
        assert re.fullmatch(r"\d+\.\d+\.\d+", source["service.version"])


@pytest.mark.long
async def test_a_reload_begins_traces_in_the_new_workers(redis_url: str, room: str) -> None:
    async with collector() as found, traced(redis_url, found) as gateway:
        old = await gateway.worker_names()
        os.kill(gateway.master_pid, signal.SIGHUP)

        async def are_new() -> bool:
            return bool(names := await gateway.ready_workers()) and not names & old

        await until(are_new, 30, "the new worker is ready alone")
        async with backend(gateway.url, KEY) as shop:
            await shop.ok("publish", room=room, message="m")
        spans = await found.has(2)
        assert not {span.source["service.instance.id"] for span in spans} & old
