"""How many workers, hosts and primaries a site needs: python -m loadtest.capacity --connections 20000 --rooms-of 50 …

Owns the units, each measured (docs/capacity.md says how), and the arithmetic. Promises nothing about your machine:
measure there, and give the units of your own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

BUSY_AT_MOST = 0.6
"""The share of a core, a worker's or a primary's, that is planned with: the rest is for when many come back."""


@dataclass(frozen=True, slots=True)
class Units:
    """What one of each costs."""

    send_us: float = 180.0
    """CPU of a worker for one `send`: read, publish, hear, acknowledge; µs."""
    delivery_us: float = 7.5
    """CPU of a worker for one message written to one member; µs."""
    join_us: float = 850.0
    """CPU of a worker for one connect with its join; µs."""
    idle_us_per_s: float = 3.0
    """CPU of a worker for one connection that does nothing, pings included; µs each second."""
    connection_kib: float = 6.5
    """Memory of a worker for one connection; KiB."""
    worker_mib: float = 75.0
    """Memory of a worker without connections; MiB."""
    script_us: float = 90.0
    """CPU of the primary for one `send`; µs."""
    frame_bytes: float = 250.0
    """What a message of 100 characters takes on a member's connection, headers of the network included."""


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
    """The arithmetic."""
    deliveries = load.sends_per_s * load.rooms_of
    busy_us = (
        load.sends_per_s * units.send_us
        + deliveries * units.delivery_us
        + load.joins_per_s * units.join_us
        + load.connections * units.idle_us_per_s
    )
    workers = max(1, math.ceil(busy_us / 1e6 / BUSY_AT_MOST))
    hosts = math.ceil(workers / load.cores) + 1
    alone = hosts - 1
    memory = load.cores * units.worker_mib + load.connections / alone * units.connection_kib / 1024
    return Need(
        deliveries_per_s=deliveries,
        busy_cores=busy_us / 1e6,
        workers=workers,
        hosts=hosts,
        memory_mib_per_host=memory,
        primaries=max(1, math.ceil(load.sends_per_s * units.script_us / 1e6 / BUSY_AT_MOST)),
        megabit_per_s=deliveries * units.frame_bytes * 8 / 1e6,
    )


def told(found: Need, load: Load) -> str:
    """For people."""
    return "\n".join(
        (
            f"deliveries    {found.deliveries_per_s:,.0f} a second",
            f"gateways      {found.busy_cores:.1f} cores busy: {found.workers} workers",
            f"hosts         {found.hosts} of {load.cores} cores (one may be lost)",
            f"memory        {found.memory_mib_per_host:,.0f} MiB a host, when one is lost",
            f"Redis         {found.primaries} "
            + ("primary" if found.primaries == 1 else "primaries of a Cluster"),
            f"network       {found.megabit_per_s:,.0f} Mbit/s to members",
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.capacity", description=__doc__)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rooms-of", type=float, required=True, help="how many members a message reaches")
    parser.add_argument("--sends-per-s", type=float, required=True, help="in all rooms together")
    parser.add_argument("--joins-per-s", type=float, default=0.0)
    parser.add_argument("--cores", type=int, default=4, help="of one host")
    for unit in fields(Units):
        parser.add_argument(f"--{unit.name.replace('_', '-')}", type=float, default=unit.default)
    given = vars(parser.parse_args(arguments))
    load = Load(**{each.name: given[each.name] for each in fields(Load)})
    print(told(need(load, Units(**{unit.name: given[unit.name] for unit in fields(Units)})), load))


if __name__ == "__main__":
    main()
