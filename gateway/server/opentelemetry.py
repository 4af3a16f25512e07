"""Traces by OpenTelemetry: what `gateway/tracing.py` asks for, with its SDK. Imported only where tracing is on.

Owns which spans there are, what they say, and what is not traced. Promises that they never hold texts, names of rooms
or users, tokens, keys or addresses. A thread of the SDK sends them from a bounded queue (`trace_export.py`).

Trust: who has shown an API key says which trace its call belongs to, and whether that is sampled. Nothing that a client
sends is looked at: a traced message of a client begins a trace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import __version__
from gateway.errors import StoreError, StoreUnavailable
from gateway.rooms.outcomes import StoredBefore
from gateway.tracing import Delivery

STORES_MAX = 20
"""Messages of one call that are traced: a broadcast has up to 1,000 rooms, each with a span for each worker."""

STATE_CHARACTERS_MAX = 512
"""Longest `tracestate` that is taken: the W3C's own bound."""

SYSTEM = "chat-gateway"

_propagator = TraceContextTextMapPropagator()
_outside = Context()


class _Call:
    """A call of the server API, for what is stored inside: by its task, and those of a parallel batch."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.context = set_span_in_context(span, _outside)
        self.left = STORES_MAX if span.is_recording() else 0

    def refuse(self, code: str, status: int) -> None:
        self.span.set_attributes({"http.response.status_code": status, "error.type": code})
        if status >= 500:
            self.span.set_status(Status(StatusCode.ERROR))


class _Store:
    """A message under way to the store."""

    def __init__(self, span: Span) -> None:
        self._span = span
        found = span.get_span_context()
        flags = int(found.trace_flags)
        self.traceparent = b"00-%032x-%016x-%02x" % (found.trace_id, found.span_id, flags)

    def end(self, result: str | StoreError) -> None:
        if isinstance(result, StoreError):
            self._span.set_attribute("error.type", type(result).__name__)
            if isinstance(result, StoreUnavailable):
                self._span.set_status(Status(StatusCode.ERROR))
        else:
            self._span.set_attribute("messaging.message.id", result)
            self._span.set_attribute("gateway.duplicate", isinstance(result, StoredBefore))
        self._span.end()


class OpenTelemetry:
    """The traces of one worker."""

    def __init__(self, provider: TracerProvider, sends_one_in: int) -> None:
        """Of so many messages that belong to no call one is traced; 0 for none."""
        self._tracer = provider.get_tracer(SYSTEM, __version__)
        self._sends_one_in = sends_one_in
        self._sends = 0
        self._call: ContextVar[_Call | None] = ContextVar("call", default=None)

    @contextmanager
    def call(self, method: str, path: str, trace: tuple[str, str]) -> Iterator[_Call]:
        span = self._tracer.start_span(
            f"POST /api/v1/{method}",
            _caller(trace),
            SpanKind.SERVER,
            {"http.request.method": "POST", "http.route": path, "gateway.method": method},
        )
        call = _Call(span)
        token = self._call.set(call)
        try:
            yield call
            span.set_attribute("http.response.status_code", 200)
        finally:
            self._call.reset(token)
            call.left = 0  # what was begun inside and goes on is no part of it any more
            span.end()

    def begin_store(self) -> _Store | None:
        call = self._call.get()
        if call is None:
            return self._sampled()
        if not call.left:
            return None
        call.left -= 1
        return self._store(call.context, "api")

    def delivered(self, delivery: Delivery) -> None:
        stored = _stored(delivery.traceparent)
        span = self._tracer.start_span(
            "deliver",
            set_span_in_context(NonRecordingSpan(stored), _outside),
            SpanKind.CONSUMER,
            {
                "messaging.system": SYSTEM,
                "messaging.operation.name": "deliver",
                "messaging.operation.type": "process",
                "messaging.message.id": delivery.position,
                "gateway.members": delivery.members,
                "gateway.live": delivery.is_live,
            },
            [Link(stored)],
            start_time=delivery.begun_ns,
        )
        span.end(time.time_ns())

    def _sampled(self) -> _Store | None:
        if not self._sends_one_in:
            return None
        self._sends += 1
        if self._sends % self._sends_one_in:
            return None
        return self._store(_outside, "send")

    def _store(self, context: Context, origin: str) -> _Store | None:
        span = self._tracer.start_span(
            "store",
            context,
            SpanKind.PRODUCER,
            {
                "messaging.system": SYSTEM,
                "messaging.operation.name": "store",
                "messaging.operation.type": "send",
                "db.system.name": "redis",
                "db.operation.name": "EVALSHA",
                "gateway.origin": origin,
            },
        )
        return _Store(span) if span.is_recording() else None


def _stored(traceparent: str) -> SpanContext:
    """The span that a note names; its form was looked at before."""
    _, trace, span, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _caller(trace: tuple[str, str]) -> Context:
    """The span that a caller says it is in; none if that cannot be read."""
    parent, state = trace
    carrier = {"traceparent": parent}
    if state and len(state) <= STATE_CHARACTERS_MAX:
        carrier["tracestate"] = state
    found = _propagator.extract(carrier, _outside)
    return found if get_current_span(found) is not INVALID_SPAN else _outside
