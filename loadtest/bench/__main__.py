"""The benchmark's command line; see the package."""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
from pathlib import Path

from loadtest.bench import contenders
from loadtest.bench.contests import CONTENDERS, Contest, contests, small
from loadtest.bench.facts import facts
from loadtest.bench.plot import plot
from loadtest.bench.report import Result, median_table, ratio_table
from loadtest.bench.rounds import run


def main() -> int:
    """Runs the contests, prints and writes the report; 1 when the gateway lost a delivery in any of them."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that what was started is stopped
    _allow_many_connections()
    try:
        contenders.install(set(arguments.contenders))
        results = [Result(each, run(each, arguments.rounds, _say)) for each in _chosen(arguments)]
    except contenders.BenchError as error:
        sys.exit(f"Error: {error}")
    _write(results, arguments.out)
    for missed in (sentence for result in results for sentence in result.missed_goals()):
        _say(f"goal missed: {missed}")
    lost = [
        f"{result.contest.name}: {lane.label}"
        for result in results
        for lane in result.contest.lanes
        if lane.contender == "gateway" and result.incomplete(lane)
    ]
    for where in lost:
        _say(f"incomplete: {where}")
    return 1 if lost else 0


def _arguments() -> argparse.Namespace:
    def words(text: str) -> tuple[str, ...]:
        return tuple(text.split(","))

    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench",
        description="Compares the gateway with Node Socket.IO and stock python-socketio.",
    )
    names = ",".join(each.name for each in contests())
    parser.add_argument("--contests", type=words, default=words(names), help=f"some of {names}")
    parser.add_argument(
        "--contenders", type=words, default=CONTENDERS, help=f"some of {','.join(CONTENDERS)}"
    )
    parser.add_argument(
        "--rounds", type=int, help="measurements of each contender in each contest (3; with --small 1)"
    )
    parser.add_argument(
        "--small", action="store_true", help="a few seconds each: to see that it works, not to compare"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench"), help="folder for results.json, table.md, ratios.png"
    )
    given = parser.parse_args()
    unknown = {*given.contests} - {*words(names)} or {*given.contenders} - {*CONTENDERS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    given.rounds = given.rounds or (1 if given.small else 3)
    return given


def _chosen(given: argparse.Namespace) -> list[Contest]:
    chosen = [each for each in contests(given.contenders) if each.name in given.contests]
    return [small(each) for each in chosen] if given.small else chosen


def _write(results: list[Result], folder: Path) -> None:
    about = facts()
    text = "\n\n".join(
        [
            "\n".join(f"- {topic}: {sentence}" for topic, sentence in about.items()),
            ratio_table(results),
            median_table(results),
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"about": about, "results": [result.as_json() for result in results]}
    (folder / "results.json").write_text(json.dumps(whole, indent=1))
    (folder / "table.md").write_text(text + "\n")
    plot(results, folder / "ratios.png")
    print(text)
    _say(f"written: {folder}/results.json, table.md, ratios.png")


def _allow_many_connections() -> None:
    """As many descriptors as the system lets us have; the servers inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
