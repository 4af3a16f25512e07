"""Which messages belong to a call of the server API, and which begin a trace."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.errors import StoreUnavailable, TooSoon
from gateway.server.opentelemetry import STORES_MAX, OpenTelemetry
from gateway.tracing import Delivery
from gateway.transport.turns import Turns


class Worker:
    """A worker that traces each send, and its spans."""

    def __init__(self, sends_one_in: int = 1) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = OpenTelemetry(provider, sends_one_in)

    def stores(self) -> None:
        """Stores one message."""
        if (span := self.tracing.begin_store()) is not None:
            span.end("a:1")

    def spans(self) -> list[tuple[str, bool]]:
        """Names of spans in the order of their ends, and whether they are inside another."""
        return [(span.name, span.parent is not None) for span in self._kept.get_finished_spans()]

    def errors(self) -> list[tuple[object, bool]]:
        """What is said of errors, and whether they count as one of the gateway's."""
        spans = self._kept.get_finished_spans()
        return [((span.attributes or {}).get("error.type"), not span.status.is_unset) for span in spans]


@pytest.mark.parametrize("is_slow", [False, True], ids=["", "slow"])
async def test_what_a_call_stores_is_inside_and_the_turns_of_clients_that_it_wakes_are_not(
    is_slow: bool,
) -> None:
    worker, turns = Worker(), Turns()

    async def another() -> None:
        worker.stores()

    with worker.tracing.call("batch", "/api/v1/batch", ("", "")):
        come = asyncio.create_task(turns.come(is_slow))  # as a broadcast between its rooms
        await asyncio.sleep(0)
        turns.queue(worker.stores, is_slow)  # a client's
        await come
        await turns.come(is_slow)
        await asyncio.gather(another(), another())  # as a batch that is parallel
    worker.stores()
    inside = [("store", True)] * 2
    assert worker.spans() == [("store", False), *inside, ("POST /api/v1/batch", False), ("store", False)]


async def test_a_call_has_so_many_spans_and_one_that_is_not_sampled_none() -> None:
    worker = Worker(sends_one_in=0)
    with worker.tracing.call("broadcast", "/api/v1/broadcast", ("", "")):
        for _ in range(STORES_MAX + 5):
            worker.stores()
    with worker.tracing.call("publish", "/api/v1/publish", ("00-" + "1" * 32 + "-" + "2" * 16 + "-00", "")):
        worker.stores()
    worker.stores()
    assert worker.spans() == [*[("store", True)] * STORES_MAX, ("POST /api/v1/broadcast", False)]


async def test_an_error_of_the_gateway_is_one_and_a_refusal_is_only_said() -> None:
    worker = Worker()
    for error in (StoreUnavailable("away"), TooSoon(5)):
        span = worker.tracing.begin_store()
        assert span is not None
        span.end(error)
    for code, status in (("bad_request", 400), ("unavailable", 503)):
        with worker.tracing.call("publish", "/api/v1/publish", ("", "")) as call:
            call.refuse(code, status)
    expected = [("StoreUnavailable", True), ("TooSoon", False), ("bad_request", False), ("unavailable", True)]
    assert worker.errors() == expected


async def test_a_delivery_of_what_another_worker_did_not_sample_is_no_span() -> None:
    worker = Worker()
    worker.tracing.delivered(Delivery("00-" + "1" * 32 + "-" + "2" * 16 + "-00", "a:1", 1, 1, True))
    worker.tracing.delivered(Delivery("00-" + "1" * 32 + "-" + "2" * 16 + "-01", "a:1", 1, 1, True))
    worker.tracing.delivered(Delivery("00-" + "0" * 32 + "-" + "0" * 16 + "-01", "a:1", 1, 1, True))
    assert worker.spans() == [("deliver", True), ("deliver", False)]
