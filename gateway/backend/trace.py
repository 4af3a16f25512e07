"""The trace that an application is in, for the gateway, which goes on with it where it traces too.

Looks whether the application uses OpenTelemetry. Where it does not, nothing is loaded, and nothing is sent.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping


def with_trace(headers: Mapping[str, str]) -> dict[str, str]:
    """These headers, and those of the span that the caller is in, if it is in one: `traceparent` and `tracestate`, of
    all that propagators know. A baggage may hold anything."""
    found = dict(headers)
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(found)
    return found
