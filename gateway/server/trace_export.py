"""How spans leave a worker: by OTLP over HTTP, from a bounded queue, by a thread of OpenTelemetry's SDK.

The event loop never waits for it: a span that ends is put into the queue (2,048 of them, `OTEL_BSP_MAX_QUEUE_SIZE`),
and what does not fit is dropped. All of it begins in the worker: a thread does not survive a fork. A collector that is
away costs one log line a minute, and never holds up a worker's end for longer than `END_S`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway import __version__

log = structlog.get_logger("gateway.tracing")

END_S = 2.0
"""How long a worker that ends waits for its last spans to leave."""

TELL_EVERY_S = 60.0
"""Between two lines about a collector that takes nothing."""


class Export:
    """Sends the spans of one worker until it is closed."""

    def __init__(self, worker: str) -> None:
        _quiet()
        self.provider = TracerProvider(resource=resource_of(worker), shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(ReportedExporter(OTLPSpanExporter())))

    async def close(self) -> None:
        """Sends what is left, if that is possible in time; what is not sent by then is lost."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def shut_down() -> None:
            self.provider.shutdown()
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:
                pass  # it took so long that the worker has gone on without it

        # A daemon, unlike those of an executor: the interpreter's end does not wait for it.
        threading.Thread(target=shut_down, name="end of traces", daemon=True).start()
        try:
            async with asyncio.timeout(END_S):
                await ended.wait()
        except TimeoutError:
            log.warning("traces_left_behind", waited_s=END_S)


class _QueueFull(logging.Handler):
    """Tells that spans end faster than they leave; the library says so at most once in 20 s, and much else."""

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Queue full"):
            log.warning("traces_queue_full", see="docs/tracing.md")


class ReportedExporter(SpanExporter):
    """An exporter whose failures are told in our log, at most one in `TELL_EVERY_S`, in words of ours: those of
    libraries may hold an address with a password, or a header."""

    def __init__(self, exporter: SpanExporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._clock = clock
        self._told_at_s: float | None = None
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            self._tell()
        elif self._told_at_s is not None:
            self._told_at_s = None
            log.info("traces_sent_again")
        return result

    def _tell(self) -> None:
        now_s = self._clock()
        if self._told_at_s is None or now_s - self._told_at_s >= TELL_EVERY_S:
            log.warning("traces_not_sent", lost_spans=self._lost, see="docs/tracing.md")
            self._told_at_s, self._lost = now_s, 0

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def resource_of(worker: str) -> Resource:
    """Whose spans they are; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts more."""
    ours = {"service.name": "chat-gateway", "service.version": __version__, "service.instance.id": worker}
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _quiet() -> None:
    """The libraries' own lines about each failed attempt are not shown: they may hold what must not be in a log."""
    for name, handler in (("opentelemetry", _QueueFull()), ("urllib3.connectionpool", logging.NullHandler())):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(handler)
