"""How traces are shown by `gateway check`. Never where they go: that may have a password in it."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.tracing_options import TracingOptions


def tracing_lines(options: TracingOptions) -> Iterator[tuple[str, str]]:
    """A line (heading, text), if anything is traced."""
    if options.is_on:
        sends = f", and one of {options.sends_one_in:,} sends" if options.sends_one_in else ""
        yield "traces", f"of calls of the server API{sends}, to where OTEL_EXPORTER_OTLP_ENDPOINT says"
