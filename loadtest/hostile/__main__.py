"""The hostile benchmark's command line; see the package."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from statistics import median

from loadtest.bench import contenders
from loadtest.hostile.kinds import KINDS
from loadtest.hostile.measure import IDLE, Outcome, Share, measure

GOALS = (1.5, 3.0)
"""Most that p99 may be with 1 % and with 10 % hostile sockets, as a multiple of what it is with idle ones."""
FLOOR_MS = 5.0
"""So much more than with idle sockets is never a miss: a 99th percentile of 1 ms is as much the machine's as ours."""
HEALTHZ_GOAL_MS = 50.0


def main() -> None:
    """Measures each kind, prints the table and writes it."""
    arguments = _arguments()
    with suppress(PermissionError):
        # As root: who measures, and the gateway, go before whoever else uses the machine.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    contenders.REPOSITORY = arguments.code.resolve()
    outcomes = []
    names = [IDLE, *(kind.name for kind in KINDS), IDLE]
    for name in arguments.kinds.split(";") if arguments.kinds else names:
        try:
            outcomes.append(
                asyncio.run(measure(name, arguments.sockets, arguments.seconds, arguments.rounds))
            )
        except (OSError, TimeoutError, contenders.BenchError) as error:
            print(f"{name}: broke off: {error!r}", file=sys.stderr, flush=True)
            continue
        print(_row(outcomes[-1]), file=sys.stderr, flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "hostile.json").write_text(json.dumps([asdict(each) for each in outcomes], indent=1))
    (arguments.out / "hostile.md").write_text(table(outcomes) + "\n")
    print(table(outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.hostile", description="What people notice of hostile connections."
    )
    parser.add_argument("--kinds", help="some of the kinds, divided by semicolons (all)")
    parser.add_argument("--sockets", type=int, default=200, help="honest and hostile together (200)")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each measurement takes (1.5)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="pairs of idle and hostile; the median counts (3)"
    )
    parser.add_argument("--code", type=Path, default=contenders.REPOSITORY, help="the checkout to measure")
    parser.add_argument("--out", type=Path, default=Path("build/hostile"), help="folder for the table")
    return parser.parse_args()


def table(outcomes: list[Outcome]) -> str:
    """The figures as a table: medians, with the least and the most; what misses its goal is in bold."""
    head = (
        "| kind | p99 idle, 1 % hostile (ms) | times | p99 idle, 10 % hostile (ms) | times "
        "| worst of 10 % (ms) | worst /healthz in 1 MB (ms) | ended | MB/s |"
    )
    return "\n".join([head, "|---" + "|---:" * 8 + "|", *map(_row, outcomes)])


def _row(outcome: Outcome) -> str:
    cells = [outcome.kind]
    for share, goal in zip(outcome.shares, GOALS, strict=True):
        idle, hostile, ratios = median(share.idle_p99_ms), median(share.hostile_p99_ms), share.ratios()
        cells.append(f"{idle:.1f}, {hostile:.1f}")
        text = f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        cells.append(_marked(text, is_missed(share, goal)))
    cells.append(f"{median(outcome.shares[-1].hostile_worst_ms):.0f}")
    health = sorted(outcome.healthz_worst_ms)
    cells.append(
        _marked(f"{median(health):.0f} ({health[0]:.0f}-{health[-1]:.0f})", median(health) > HEALTHZ_GOAL_MS)
    )
    return f"| {' | '.join([*cells, str(outcome.ended), f'{outcome.sent_bytes_per_s / 1e6:.1f}'])} |"


def is_missed(share: Share, goal: float) -> bool:
    """Whether people wait longer than the goal times what they wait beside idle sockets, and by more than the floor."""
    longer_ms = median(share.hostile_p99_ms) - median(share.idle_p99_ms)
    return median(share.ratios()) > goal and longer_ms > FLOOR_MS


def _marked(text: str, is_missed: bool) -> str:
    return f"**{text}**" if is_missed else text


if __name__ == "__main__":
    main()
