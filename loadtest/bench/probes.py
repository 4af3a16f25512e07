"""What a run costs, read from outside: CPU and memory of process trees, and Valkey's own counters.

Reads only; starts and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

PROC = Path("/proc")


class Trees:
    """The processes with these ids and all their descendants, as they are at each reading."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = tuple(pids)

    def cpu_us(self) -> float:
        """Time on a core so far of those that live, user and system, µs; the scheduler counts in nanoseconds."""
        return sum(_on_core_ns(pid) for pid in self._all()) / 1000

    def pss_kib(self) -> float:
        """Their share of memory, KiB: a page that two of them have counts half for each, so once in all."""
        return float(sum(_pss_kib(pid) for pid in self._all()))

    def _all(self) -> Iterator[int]:
        for root in self._roots:
            with suppress(psutil.NoSuchProcess):
                yield root
                yield from (child.pid for child in psutil.Process(root).children(recursive=True))


def _on_core_ns(pid: int) -> int:
    total = 0
    with suppress(OSError):  # a thread or process that ended meanwhile
        for task in (PROC / str(pid) / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def _pss_kib(pid: int) -> int:
    with suppress(OSError):
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


def kernel_kib() -> int:
    """What the whole machine's kernel holds in small pieces, sockets among them, KiB."""
    lines = (PROC / "meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Slab:"))


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
