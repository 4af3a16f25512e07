"""What a run costs, read from outside: CPU and memory of process trees, and Valkey's own counters.

Reads only; starts and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psutil
import redis


class Trees:
    """The processes with these ids and all their descendants, as they are at each reading."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]

    def cpu_s(self) -> float:
        """User and system time used so far by those that live, seconds; the kernel counts in steps of 10 ms."""
        return sum(float(times.user + times.system) for times in (each.cpu_times() for each in self._all()))

    def rss_bytes(self) -> int:
        """Resident memory; pages that processes share count once for each, so only growth means something."""
        return sum(int(each.memory_info().rss) for each in self._all())

    def _all(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            yield root
            yield from root.children(recursive=True)


@dataclass(frozen=True, slots=True)
class Counters:
    """How often each command ran, by Valkey's count; commands that scripts call are counted too."""

    calls: dict[str, int]

    def since(self, before: Counters) -> dict[str, int]:
        """The calls between two readings, without the reading itself."""
        grown = {name: count - before.calls.get(name, 0) for name, count in self.calls.items()}
        return {name: count for name, count in sorted(grown.items()) if count and name != "info"}


class Store:
    """The Valkey of a run, seen from outside."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(port=port)
        self.pid: int = self._client.info("server")["process_id"]

    def counters(self) -> Counters:
        """Reads `INFO commandstats`."""
        stats = self._client.info("commandstats")
        return Counters({name.removeprefix("cmdstat_"): of["calls"] for name, of in stats.items()})

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


SCRIPTS = ("evalsha", "eval", "evalsha_ro", "eval_ro", "fcall", "fcall_ro")


def script_calls(calls: dict[str, int]) -> int:
    """How many of the calls ran a script."""
    return sum(calls.get(name, 0) for name in SCRIPTS)
