"""The calculator of docs/capacity.md."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.capacity import BUSY_AT_MOST, Load, Units, main, need

PAGE = (Path(__file__).resolve().parents[1] / "docs/capacity.md").read_text()
SMALL = Load(connections=1000, rooms_of=10, sends_per_s=10)


def test_the_page_shows_what_its_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"python -m loadtest\.capacity (--connections.*)", PAGE)
    main(command.split())
    said = capsys.readouterr().out
    assert said == "".join(f"{line[4:]}\n" for line in PAGE.splitlines() if line[4:] in said.splitlines())


def test_the_page_has_the_units_that_it_calculates_with() -> None:
    units = Units()
    for text in (
        f"{units.send_us:g} µs of a worker", f"{units.delivery_us:g} µs", f"{units.join_us:g} µs",
        f"{units.idle_us_per_s:g} µs", f"{units.connection_kib:g} KiB", f"{units.worker_mib:g} MiB",
        f"{units.script_us:g} µs of Redis", f"{units.frame_bytes:g} bytes", f"{BUSY_AT_MOST:.0%}".replace("%", " %"),
    ):  # fmt: skip
        assert text in PAGE, text


def test_a_small_site_needs_one_worker_and_a_host_that_may_be_lost() -> None:
    found = need(SMALL, Units())
    assert (found.workers, found.hosts, found.primaries) == (1, 2, 1)


def test_twice_as_much_of_all_needs_twice_the_cores() -> None:
    twice = Load(connections=2000, rooms_of=10, sends_per_s=20)
    assert need(twice, Units()).busy_cores == pytest.approx(2 * need(SMALL, Units()).busy_cores)


def test_what_one_primary_cannot_do_is_spread_over_several() -> None:
    assert need(replace(SMALL, sends_per_s=20_000), Units()).primaries == 3


def test_memory_is_that_of_a_host_when_another_is_lost() -> None:
    units = Units(connection_kib=10, worker_mib=100)
    found = need(replace(SMALL, connections=102_400, cores=4), units)
    assert (found.hosts, found.memory_mib_per_host) == (2, 4 * 100 + 1000)
