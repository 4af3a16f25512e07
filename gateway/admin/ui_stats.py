"""What the Admin UI is told of one server, in the words of its production mode: `server_stats`.

Owns how what workers count becomes what that UI adds up: a worker counts from its start, the UI wants what is new since
it was last told. Values only; what cannot be read is left out. No address, header, token or name of a person or room is
among it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Told = Mapping[str, Any]
"""What a worker answers (`ui_facts.py`)."""

Counts = dict[tuple[str, str | None], int]
"""What was counted since the worker's start, by the UI's type and sub-type."""


class ServerStats(NamedTuple):
    """One `server_stats`: the worker's own words, checked, and what it counted."""

    head: dict[str, Any]
    counts: Counts


class NewEvents:
    """Remembers what workers had counted when the UI was told last; of those that are gone it remembers nothing."""

    def __init__(self) -> None:
        self._before: dict[str, Counts] = {}

    def tell(self, told: Mapping[str, Told], now_s: float) -> Iterator[dict[str, Any]]:
        """Each worker's `server_stats`. The first time there is nothing new."""
        counts: dict[str, Counts] = {}
        for worker, answer in sorted(told.items()):
            if (found := read(worker, answer)) is None:
                continue
            counts[worker] = found.counts
            before = self._before.get(worker, found.counts)
            yield {**found.head, "aggregatedEvents": list(_new(before, found.counts, int(now_s) * 1000))}
        self._before = counts


def read(worker: str, told: Told) -> ServerStats | None:
    """A worker's answer; None for one that nobody can read, as anybody who reaches Redis can answer."""
    try:
        head = {
            "serverId": worker,
            "hostname": str(told["host"])[:255],
            "pid": int(told["pid"]),
            "uptime": float(told["uptime_s"]),
            "clientsCount": int(told["clients"]),
            "pollingClientsCount": int(told["polling"]),
            "namespaces": [
                {"name": str(name), "socketsCount": int(count)} for name, count in told["namespaces"].items()
            ],
        }
        counts = {(str(kind), sub and str(sub)): int(number) for kind, sub, number in told["counted"]}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return ServerStats(head, counts)


def _new(before: Counts, after: Counts, timestamp_ms: int) -> Iterator[dict[str, Any]]:
    for (kind, sub), number in after.items():
        if (count := number - before.get((kind, sub), 0)) > 0:
            of_sub = {} if sub is None else {"subType": sub}
            yield {"timestamp": timestamp_ms, "type": kind, **of_sub, "count": count}
