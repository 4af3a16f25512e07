"""The hostile benchmark's command line; see the package."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from loadtest.bench import contenders
from loadtest.hostile.kinds import KINDS
from loadtest.hostile.measure import Outcome, measure

GOALS = (1.5, 3.0)
"""Most that p99 may be with 1 % and with 10 % hostile sockets, as a multiple of what it is with idle ones."""
HEALTHZ_GOAL_MS = 50.0


def main() -> None:
    """Measures each kind, prints the table and writes it."""
    arguments = _arguments()
    contenders.REPOSITORY = arguments.code.resolve()
    outcomes = []
    for name in arguments.kinds.split(";") if arguments.kinds else [kind.name for kind in KINDS]:
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
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each measurement takes (3)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each; the median counts (3)")
    parser.add_argument("--code", type=Path, default=contenders.REPOSITORY, help="the checkout to measure")
    parser.add_argument("--out", type=Path, default=Path("build/hostile"), help="folder for the table")
    return parser.parse_args()


def table(outcomes: list[Outcome]) -> str:
    """The figures as a table; what misses its goal is in bold."""
    head = (
        "| kind | p99 idle, 1 % hostile (ms) | times | p99 idle, 10 % hostile (ms) | times "
        "| worst of 10 % (ms) | worst /healthz in 1 MB (ms) | ended |"
    )
    return "\n".join([head, "|---" + "|---:" * 7 + "|", *map(_row, outcomes)])


def _row(outcome: Outcome) -> str:
    cells = [outcome.kind]
    for place, ratio in enumerate(outcome.ratios()):
        cells.append(f"{outcome.idle_p99_ms[place]:.1f}, {outcome.hostile_p99_ms[place]:.1f}")
        cells.append(_marked(f"{ratio:.2f}", ratio > GOALS[place]))
    cells.append(f"{outcome.hostile_worst_ms[1]:.0f}")
    cells.append(_marked(f"{outcome.healthz_worst_ms:.0f}", outcome.healthz_worst_ms > HEALTHZ_GOAL_MS))
    return f"| {' | '.join([*cells, str(outcome.ended)])} |"


def _marked(text: str, is_missed: bool) -> str:
    return f"**{text}**" if is_missed else text


if __name__ == "__main__":
    main()
