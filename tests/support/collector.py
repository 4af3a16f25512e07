"""An OpenTelemetry collector: takes spans by OTLP over HTTP, as protobuf, and keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

from tests.support.ports import Port
from tests.support.waiting import until

NAMES = {
    Sent.SPAN_KIND_SERVER: "server",
    Sent.SPAN_KIND_PRODUCER: "producer",
    Sent.SPAN_KIND_CONSUMER: "consumer",
}


class Span(NamedTuple):
    """One span as it came."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: list[str]
    begun_ns: int
    ended_ns: int
    is_error: bool
    says: dict[str, Any]
    source: dict[str, Any]


class Collector:
    """Keeps what it is sent; it answers with `status`, or not before `held` is set."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []
        self.status = 200
        self.held: asyncio.Event | None = None

    async def take(self, request: web.Request) -> web.Response:
        """One batch."""
        self.bodies.append(body := await request.read())
        if self.held is not None:
            await self.held.wait()
        if self.status == 200:
            self.spans += _spans(body)
        return web.Response(status=self.status)

    def named(self, name: str) -> list[Span]:
        """Those of that name, in the order in which they came."""
        return [span for span in self.spans if span.name == name]

    async def has(self, count: int, limit_s: float = 10.0) -> list[Span]:
        """All spans, once there are so many."""
        await until(lambda: len(self.spans) >= count, limit_s, f"{count} spans; there are {self.spans}")
        return self.spans

    def environment(self, **more: str) -> dict[str, str]:
        """What a gateway needs to send here, soon."""
        return {
            "GATEWAY_OTEL": "on",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **more,
        }


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """One on a port of its own."""
    port = Port()
    found, app = Collector(f"http://127.0.0.1:{port.number}"), web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port.number, reuse_port=None).start()
        yield found
    finally:
        await runner.cleanup()
        port.release()


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Span(
            name=sent.name,
            kind=NAMES.get(sent.kind, "other"),
            trace=sent.trace_id.hex(),
            id=sent.span_id.hex(),
            parent=sent.parent_span_id.hex(),
            links=[link.span_id.hex() for link in sent.links],
            begun_ns=sent.start_time_unix_nano,
            ended_ns=sent.end_time_unix_nano,
            is_error=sent.status.code == 2,
            says=_values(sent.attributes),
            source=_values(resource.resource.attributes),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for sent in scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in pairs}
