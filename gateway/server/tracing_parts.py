"""Tracing of one worker, put together by its options: nothing, and nothing imported, while it is off."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from gateway.interfaces import CommandStore
from gateway.option_groups import PublishOptions
from gateway.rooms.publisher import Publisher
from gateway.rooms.routes import Route
from gateway.rooms.traced_notes import Deliveries
from gateway.rooms.traced_publisher import TracedPublisher
from gateway.settings import Settings
from gateway.tracing import Tracing


class TracingParts:
    """What of a worker differs where messages are traced."""

    def __init__(self, settings: Settings, worker: str, stack: AsyncExitStack) -> None:
        """`stack` ends it."""
        self.tracing: Tracing | None = None
        self.deliveries: Deliveries | None = None
        if settings.tracing.is_on:
            self.tracing = _open_telemetry(settings.tracing.sends_one_in, worker, stack)
            self.deliveries = Deliveries(self.tracing)

    def publisher(self, store: CommandStore, route: Route, options: PublishOptions, **more: Any) -> Publisher:
        """The worker's publisher."""
        if self.tracing is None:
            return Publisher(store, route, options, **more)
        return TracedPublisher(self.tracing, store, route, options, **more)


def _open_telemetry(sends_one_in: int, worker: str, stack: AsyncExitStack) -> Tracing:
    from gateway.server.opentelemetry import OpenTelemetry
    from gateway.server.trace_export import Export

    export = Export(worker)
    stack.push_async_callback(export.close)
    return OpenTelemetry(export.provider, sends_one_in)
