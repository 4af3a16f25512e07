"""Every metric of a worker, defined once; `text()` shows them in Prometheus' exposition format.

Counters only grow and live as long as the worker. Adding to one is an attribute addition: cheap enough for hot
paths. A process has one set of counters, as it has one worker.
"""

from __future__ import annotations

LABELS = ("worker",)
"""What tells the numbers of one metric apart."""


class Counter:
    """A number that only grows."""

    kind = "counter"
    __slots__ = ("meaning", "name", "value")

    def __init__(self, name: str, meaning: str) -> None:
        self.name = name
        self.meaning = meaning
        self.value = 0

    def add(self, number: int) -> None:
        """Counts `number` more."""
        self.value += number


published = Counter("gateway_published_total", "Messages sent to the store.")
acknowledged = Counter("gateway_acknowledged_total", "Messages that the store took and numbered.")
unavailable = Counter("gateway_unavailable_total", "Messages that the store did not take in time.")
heard = Counter("gateway_heard_total", "Messages that the store's channels brought.")
delivered = Counter("gateway_delivered_total", "Messages written to members.")
holes = Counter("gateway_holes_total", "Holes noticed between live messages.")
malformed = Counter("gateway_malformed_total", "Payloads on rooms' channels that nobody can read.")
snapshots = Counter("gateway_snapshots_total", "Histories read for joins and repairs.")
gaps = Counter("gateway_gaps_total", "Gaps that members were told of.")
connects = Counter("gateway_connects_total", "Sessions opened.")
disconnects = Counter("gateway_disconnects_total", "Sessions ended.")
refusals = Counter("gateway_refusals_total", "Events that were refused.")
handoffs = Counter("gateway_handoffs_total", "Connections passed to another worker.")
deaf = Counter("gateway_deaf_total", "Times that this worker did not hear its own probe.")
background_failures = Counter(
    "gateway_background_failures_total", "Background tasks that failed: a fault of the gateway."
)

ALL = (
    published, acknowledged, unavailable, heard, delivered, holes, malformed, snapshots, gaps, connects, disconnects,
    refusals, handoffs, deaf, background_failures,
)  # fmt: skip


def text(worker: str) -> str:
    """All metrics, one worker's, in Prometheus' text format."""
    lines = []
    for counter in ALL:
        lines.append(f"# HELP {counter.name} {counter.meaning}")
        lines.append(f"# TYPE {counter.name} {counter.kind}")
        lines.append(f'{counter.name}{{worker="{worker}"}} {counter.value}')
    return "\n".join(lines) + "\n"
