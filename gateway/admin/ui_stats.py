"""What the Admin UI is told of one server, in the words of its production mode: `server_stats`.

Owns how what workers count becomes what that UI adds up: a worker counts from its start, the UI wants what is new since
it was last told. Values only; what cannot be read is left out. No address, header, token or name of a person or room is
among it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.admin.ui_packets import NAMESPACE

Told = Mapping[str, Any]
"""What a worker answers (`ui_facts.py`)."""

SILENT = 3
"""The UI calls a server unhealthy of which it has heard nothing for 10 s: this is sooner, so that it changes once."""

Counts = dict[tuple[str, str | None], int]
"""What was counted since the worker's start, by the UI's type and sub-type."""


class ServerStats(NamedTuple):
    """One `server_stats`: the worker's own words, checked, and what it counted."""

    head: dict[str, Any]
    counts: Counts


class Look(NamedTuple):
    """What was found: the ids of the workers that live, and what those said that answered."""

    living: Collection[str]
    told: Mapping[str, Told]


class Servers:
    """Remembers what was told of each worker last, until it is gone."""

    def __init__(self) -> None:
        self._known: dict[str, ServerStats] = {}
        self._silent: dict[str, int] = {}  # how many times in a row a worker has not answered

    def tell(self, look: Look, now_s: float) -> Iterator[dict[str, Any]]:
        """Each worker's `server_stats`. The first time there is nothing new. A worker that has not answered `SILENT`
        times is told of once more, without clients: the UI would count them for as long as it shows the server."""
        for worker, told in sorted(look.told.items()):
            if (found := read(worker, told)) is not None:
                before = self._known.get(worker, found).counts
                self._known[worker] = found
                self._silent.pop(worker, None)
                yield {**found.head, "aggregatedEvents": list(_new(before, found.counts, int(now_s) * 1000))}
        for worker in sorted({*self._known, *look.living} - set(look.told)):
            self._silent[worker] = self._silent.get(worker, 0) + 1
            if self._silent[worker] == SILENT:
                yield _without_clients(worker, self._known.get(worker))
        for worker in [each for each in self._silent if self._silent[each] >= SILENT]:
            self._known.pop(worker, None)
            if worker not in look.living:
                del self._silent[worker]


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


def _without_clients(worker: str, known: ServerStats | None) -> dict[str, Any]:
    head = known.head if known is not None else {"serverId": worker}
    nobody = [{"name": name, "socketsCount": 0} for name in ("/", NAMESPACE)]
    return {**head, "clientsCount": 0, "pollingClientsCount": 0, "namespaces": nobody, "aggregatedEvents": []}


def _new(before: Counts, after: Counts, timestamp_ms: int) -> Iterator[dict[str, Any]]:
    for (kind, sub), number in after.items():
        if (count := number - before.get((kind, sub), 0)) > 0:
            of_sub = {} if sub is None else {"subType": sub}
            yield {"timestamp": timestamp_ms, "type": kind, **of_sub, "count": count}
