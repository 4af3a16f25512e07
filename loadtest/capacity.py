"""How many workers, hosts and primaries a site needs: python -m loadtest.capacity --connections 20000 --rooms-of 50 …

Owns the arithmetic (docs/scaling.md says it in words). The units are those that the benchmark has measured
(`bench/results/units.json`). Promises nothing about your machine: measure there, and give the units of your own.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

UNITS = Path(__file__).parent / "bench" / "results" / "units.json"
BUSY_AT_MOST = 0.6
"""The share of a core, a worker's or a primary's, that is planned with: the rest is for when many come back."""
HEARD_WHEN_MEASURED = 2
"""So many workers heard of a message when the script was measured."""


@dataclass(frozen=True, slots=True)
class Units:
    """What one of each costs; without a default what the benchmark measures."""

    send_us: float
    """CPU of a worker for one `send`: read, publish, hear, acknowledge; µs."""
    delivery_us: float
    """CPU of a worker for one message written to one member; µs."""
    hear_us: float
    """CPU of each further worker that hears of a message; µs."""
    join_us: float
    """CPU of a worker for one handshake with connect and join; µs."""
    idle_us_per_s: float
    """CPU of a worker for one connection that does nothing, pings included; µs each second."""
    connection_kib: float
    """Memory of a worker for one connection; KiB."""
    kernel_kib: float
    """Memory of the kernel for one connection; KiB."""
    script_us: float
    """CPU of the primary for one `send`; µs."""
    heard_us: float
    """CPU of the primary for each further worker that hears of a message; µs."""
    worker_mib: float = 75.0
    """Memory of a worker without connections; MiB."""
    frame_bytes: float = 250.0
    """What a message of 100 characters takes on a member's connection, headers of the network included."""


def published() -> Units:
    """Those of the benchmark."""
    found = {each["name"]: float(each["value"]) for each in json.loads(UNITS.read_text())["units"]}
    return Units(**{each.name: found[each.name] for each in fields(Units) if each.name in found})


@dataclass(frozen=True, slots=True)
class Load:
    """What a site has at its busiest."""

    connections: int
    rooms_of: float
    """How many members a message reaches."""
    sends_per_s: float
    """In all rooms together."""
    joins_per_s: float = 0.0
    cores: int = 4
    """Of one host."""


@dataclass(frozen=True, slots=True)
class Need:
    """What it needs."""

    deliveries_per_s: float
    busy_cores: float
    workers: int
    hosts: int
    """One more than the load takes, so that one may be lost."""
    memory_mib_per_host: float
    primaries: int
    megabit_per_s: float


def need(load: Load, units: Units) -> Need:
    """The arithmetic. More workers hear of a message than fewer, which is work of its own: so the number of workers is
    raised until it is enough."""
    workers = 1
    while (enough := _workers(load, units, workers)) > workers:
        workers = enough
    hosts = math.ceil(workers / load.cores) + 1
    memory = load.cores * units.worker_mib + load.connections / (hosts - 1) * _kib(units) / 1024
    deliveries = load.sends_per_s * load.rooms_of
    return Need(
        deliveries_per_s=deliveries,
        busy_cores=_busy_us(load, units, workers) / 1e6,
        workers=workers,
        hosts=hosts,
        memory_mib_per_host=memory,
        primaries=_primaries(load, units, workers),
        megabit_per_s=deliveries * units.frame_bytes * 8 / 1e6,
    )


def hearing(load: Load, workers: int) -> float:
    """How many workers have a member of a room, if members go to any of them alike."""
    without = float((1 - 1 / workers) ** load.rooms_of)
    return workers * (1 - without)


def _busy_us(load: Load, units: Units, workers: int) -> float:
    each = units.send_us + load.rooms_of * units.delivery_us + (hearing(load, workers) - 1) * units.hear_us
    return (
        load.sends_per_s * each
        + load.joins_per_s * units.join_us
        + load.connections * units.idle_us_per_s
    )  # fmt: skip


def _workers(load: Load, units: Units, workers: int) -> int:
    return max(1, math.ceil(_busy_us(load, units, workers) / 1e6 / BUSY_AT_MOST))


def _primaries(load: Load, units: Units, workers: int) -> int:
    further = max(0.0, hearing(load, workers) - HEARD_WHEN_MEASURED)
    busy_us = load.sends_per_s * (units.script_us + further * units.heard_us)
    return max(1, math.ceil(busy_us / 1e6 / BUSY_AT_MOST))


def _kib(units: Units) -> float:
    return units.connection_kib + units.kernel_kib


def told(found: Need, load: Load) -> str:
    """For people."""
    return "\n".join(
        (
            f"deliveries    {found.deliveries_per_s:,.0f} a second",
            f"gateways      {found.busy_cores:.1f} cores busy: {found.workers} "
            + ("worker" if found.workers == 1 else "workers"),
            f"hosts         {found.hosts} of {load.cores} cores (one may be lost)",
            f"memory        {found.memory_mib_per_host:,.0f} MiB a host, when one is lost",
            f"Redis         {found.primaries} "
            + ("primary" if found.primaries == 1 else "primaries of a Cluster"),
            f"network       {found.megabit_per_s:,.0f} Mbit/s to members",
        )
    )


EXAMPLE = Load(connections=20_000, rooms_of=50, sends_per_s=400, joins_per_s=50)
"""That of docs/capacity.md."""

SITES = (
    ("a company", Load(1_000, 20, 20)),
    ("a product with support chats", Load(20_000, 2, 500)),
    ("a large site", Load(100_000, 50, 2_000)),
    ("one room of 2,000", Load(2_000, 2_000, 10)),
    ("one room of 20,000", Load(20_000, 20_000, 20)),
    ("one room of 100,000", Load(100_000, 100_000, 20)),
    ("a network", Load(1_000_000, 50, 20_000)),
)
"""Those of the worked table in docs/scaling.md."""


WORKED = (
    "site", "connections", "a message reaches", "messages/s", "deliveries/s", "workers", "hosts of 4 cores",
    "primaries", "Mbit/s",
)  # fmt: skip


def worked(units: Units) -> str:
    """That table, Markdown."""
    lines = [
        f"| {' | '.join(WORKED)} |",
        "| --- " * len(WORKED) + "|",
    ]
    for name, load in SITES:
        found = need(load, units)
        figures = (
            load.connections, load.rooms_of, load.sends_per_s, found.deliveries_per_s, found.workers, found.hosts,
            found.primaries, found.megabit_per_s,
        )  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(f"{each:,.0f}" for each in figures) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity", description=__doc__)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rooms-of", type=float, required=True, help="how many members a message reaches")
    parser.add_argument("--sends-per-s", type=float, required=True, help="in all rooms together")
    parser.add_argument("--joins-per-s", type=float, default=0.0)
    parser.add_argument("--cores", type=int, default=4, help="of one host")
    measured = published()
    for unit in fields(Units):
        parser.add_argument(
            f"--{unit.name.replace('_', '-')}", type=float, default=getattr(measured, unit.name)
        )
    given = vars(parser.parse_args(arguments))
    load = Load(**{each.name: given[each.name] for each in fields(Load)})
    print(told(need(load, Units(**{unit.name: given[unit.name] for unit in fields(Units)})), load))


if __name__ == "__main__":
    main()
