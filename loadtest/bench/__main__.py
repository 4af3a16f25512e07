"""The benchmark's command line; see the package."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from loadtest.bench import contenders, pages, stored
from loadtest.bench.contests import AGAIN, DEFAULT_CONTENDERS, GATEWAY, NODE, STOCK, Contest, contests, small
from loadtest.bench.facts import facts
from loadtest.bench.report import Result, missed_goals
from loadtest.bench.rounds import run


def main() -> int:
    """Runs the contests, prints and writes the report; 1 when the gateway lost anything in any of them."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that what was started is stopped
    _allow_many_connections()
    folder: Path = stored.RESULTS if arguments.publish else arguments.out
    results: list[Result] = []
    try:
        contenders.install(set(arguments.contenders))
        for contest in _chosen(arguments):
            result = Result.of(contest, run(contest, _say), datetime.now(UTC).date().isoformat())
            results.append(result)
            stored.write(folder, facts(), [result])  # at once: a run that is broken off keeps what it has
    except contenders.BenchError as error:
        sys.exit(f"Error: {error}")
    return _conclude(folder, results, arguments.publish)


def _conclude(folder: Path, results: list[Result], is_published: bool) -> int:
    table = pages.tables(facts(), results)["bench"]
    print(table)
    if is_published:
        pages.publish()
    else:
        (folder / "table.md").write_text(table + "\n")
    for missed in missed_goals(results):
        _say(f"goal missed: {missed}")
    lost = [each.name for each in results if each.incomplete(GATEWAY)] if results else []
    for where in lost:
        _say(f"incomplete: {where}")
    _say(f"written to {folder}")
    return 1 if lost else 0


def _arguments() -> argparse.Namespace:
    def words(text: str) -> tuple[str, ...]:
        return tuple(text.split(","))

    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench",
        description="Compares the gateway with Node Socket.IO, with itself, with another checkout of it.",
    )
    names = ",".join(each.name for each in contests())
    parser.add_argument("--contests", type=words, default=words(names), help=f"some of {names}")
    parser.add_argument(
        "--contenders", type=words, default=DEFAULT_CONTENDERS,
        help=f"some of {GATEWAY},{AGAIN},{NODE},{STOCK}, or name=FOLDER: another checkout of the gateway",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="of each contest, the first third to warm up")
    parser.add_argument(
        "--small", action="store_true", help="seconds each: to see that it works, not to compare"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench"), help="folder for results.json, table.md, ratios.png"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="into loadtest/bench/results, and the tables of the READMEs from there",
    )
    given = parser.parse_args()
    known = {GATEWAY, AGAIN, NODE, STOCK}
    unknown = {*given.contests} - {*words(names)} or {
        each for each in given.contenders if "=" not in each
    } - known
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return given


def _chosen(given: argparse.Namespace) -> list[Contest]:
    chosen = [each for each in contests(given.contenders) if each.name in given.contests]
    sized = [small(each) for each in chosen] if given.small else chosen
    return [replace(each, rounds=given.rounds or each.rounds) for each in sized]


def _allow_many_connections() -> None:
    """As many descriptors as the system lets us have; the servers inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
