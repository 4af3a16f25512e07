"""The options of traces. A group as those in `option_groups.py`, with a file of its own.

Never imports OpenTelemetry: gunicorn's master reads options, and what it has imported its workers would have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from gateway.option_types import choice, option, whole

NEEDED = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class TracingOptions:
    """Traces, by OpenTelemetry."""

    otel: str = option("GATEWAY_OTEL", "off", choice("on", "off"),
        "Whether calls of the server API, and some messages of clients, are traced from the call to the deliveries "
        "([tracing.md](tracing.md)). Needs the extra `otel`. Where traces go, and all else, is said by the variables "
        "of OpenTelemetry, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.")
    sends_one_in: int = option("GATEWAY_OTEL_SENDS_ONE_IN", 1000, whole(0, 1_000_000, "messages"),
        "Of so many messages that clients send one is traced, 0 for none. `OTEL_TRACES_SAMPLER` decides after that.")

    @property
    def is_on(self) -> bool:
        """Whether anything is traced."""
        return self.otel == "on"
# fmt: on


def tracing_contradictions(options: TracingOptions) -> Iterator[tuple[bool, str]]:
    """What is switched on must be there."""
    yield (
        options.is_on and not _is_installed(),
        "GATEWAY_OTEL=on needs OpenTelemetry, which is not installed: install the gateway with its extra, as in "
        "pip install 'chat-gateway[otel]', or set GATEWAY_OTEL=off",
    )


def _is_installed() -> bool:
    try:
        return all(metadata.version(name) for name in NEEDED)
    except metadata.PackageNotFoundError:
        return False
