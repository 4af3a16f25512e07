"""What one of each costs: the units that `loadtest/capacity.py` calculates with.

    uv run --group load python -m loadtest.bench.units

Owns `results/units.json`. Some units follow from the published contests (`results/results.json`), and are renewed
whenever the pages are; the others are measured here (`unit_probes.py`), which takes some minutes. A unit whose contest
was not run is left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.bench.contests import GATEWAY
from loadtest.bench.report import Result, markdown
from loadtest.bench.rounds import new_event_loop
from loadtest.bench.stored import RESULTS, read
from loadtest.bench.unit_probes import PROBES

FILE = RESULTS / "units.json"
HERE = "here"
BUSY = 0.7
"""The share of a primary's core at which publishes a second are told."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One figure, what it is, and how it was found."""

    name: str
    value: float
    unit: str
    what: str
    source: str


def derived(results: Sequence[Result]) -> list[Unit]:
    """What follows from the contests; a send is what a message in a room of two costs beyond two deliveries."""
    by_name = {each.name: each for each in results}

    def of(contest: str, figure: str, label: str = GATEWAY) -> float | None:
        found = by_name[contest].figure(label, figure) if contest in by_name else None
        return found.middle if found is not None else None

    delivery_us, pair_us = of("stadium", "us_per_delivery"), of("pairs", "us_per_delivery")
    send_us = 2 * (pair_us - delivery_us) if pair_us is not None and delivery_us is not None else None
    script_us = of("publish", "valkey_us_per_message")
    publishes = BUSY * 1e6 / script_us if script_us else None
    over, alone = of("workers", "us_per_delivery"), of("workers", "us_per_delivery", "1 worker")
    hear_us = _hear_us(over, alone) if over is not None and alone is not None else None
    found = (
        ("send_us", send_us, "µs", "a `send`: read, publish, hear, acknowledge; a worker", "pairs, stadium"),
        ("delivery_us", delivery_us, "µs", "a message written to one member; a worker", "stadium"),
        ("hear_us", hear_us, "µs", "each further worker that hears of a message; that worker", "workers"),
        (
            "join_us",
            of("connect", "us_per_join"),
            "µs",
            "a handshake with connect and join; a worker",
            "connect",
        ),
        (
            "idle_us_per_s",
            of("idle", "idle_us_per_s"),
            "µs/s",
            "a connection that does nothing; a worker",
            "idle",
        ),
        ("connection_kib", of("memory", "kib_per_connection"), "KiB", "a connection; a worker", "memory"),
        ("room_kib", of("room-memory", "kib_per_room"), "KiB", "what traffic adds to a room", "room-memory"),
        ("script_us", script_us, "µs", "a `send`; the primary, everything in it", "publish"),
        ("publishes_at_70", publishes, "1/s", "publishes a second at 70 % of a primary's core", "publish"),
        ("join_primary_us", of("connect", "valkey_us_per_join"), "µs", "a join; the primary", "connect"),
    )
    return [Unit(name, value, *rest) for name, value, *rest in found if value is not None]


def _hear_us(over_eight_us: float, on_one_us: float) -> float:
    """Rooms of twenty are spread over eight workers: seven more hear each message than one."""
    return max(0.0, (over_eight_us - on_one_us) * 20 / 7)


async def measured() -> list[Unit]:
    """What is measured here, one probe after the other."""
    units = []
    for probe in PROBES:
        for name, value, unit, what in await probe():
            print(f"{name:28} {value:>12,.2f} {unit:5} {what}", file=sys.stderr, flush=True)
            units.append(Unit(name, value, unit, what, HERE))
    return units


def load() -> dict[str, Unit]:
    """The units that are published, by name."""
    units: list[dict[str, Any]] = json.loads(FILE.read_text())["units"]
    return {each["name"]: Unit(**each) for each in units}


def table(units: Sequence[Unit]) -> str:
    """Markdown."""
    rows = [[f"`{each.name}`", f"{each.value:,.4g} {each.unit}", each.what, each.source] for each in units]
    return markdown(["unit", "value", "of what", "contest"], rows)


def write(here: Sequence[Unit] | None = None) -> list[Unit]:
    """Writes the file: what follows from the published contests, and what is measured here; without that, as it was."""
    about, results = read(RESULTS)
    if here is None:
        here = [each for each in load().values() if each.source == HERE]
    units = [*derived(results), *here]
    kept = {"about": about, "units": [asdict(each) for each in units]}
    FILE.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return units


def main() -> None:
    """Measures, and writes the file."""
    logging.disable()  # the gateway's own parts say when they connect
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        here = runner.run(measured())
    print(table(write(here)))


if __name__ == "__main__":
    main()
