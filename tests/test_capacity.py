"""The calculator of docs/capacity.md."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.capacity import BUSY_AT_MOST, Load, Units, hearing, main, need

PAGE = (Path(__file__).resolve().parents[1] / "docs/capacity.md").read_text()
UNITS = Units(
    send_us=100, delivery_us=10, hear_us=40, join_us=500, idle_us_per_s=1, connection_kib=6, kernel_kib=4, script_us=50,
    heard_us=2,
)  # fmt: skip
"""Round figures."""
SMALL = Load(connections=1000, rooms_of=10, sends_per_s=10)


def test_the_page_shows_what_its_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"python -m loadtest\.capacity (--connections.*)", PAGE)
    main(command.split())
    said = capsys.readouterr().out
    assert said == "".join(f"{line[4:]}\n" for line in PAGE.splitlines() if line[4:] in said.splitlines())


def test_the_page_says_how_much_of_a_core_is_planned_with() -> None:
    assert f"{BUSY_AT_MOST:.0%}".replace("%", " %") in PAGE


def test_a_small_site_needs_one_worker_and_a_host_that_may_be_lost() -> None:
    found = need(SMALL, UNITS)
    assert (found.workers, found.hosts, found.primaries) == (1, 2, 1)


def test_twice_as_much_of_all_needs_twice_the_cores() -> None:
    twice = Load(connections=2000, rooms_of=10, sends_per_s=20)
    assert need(twice, UNITS).busy_cores == pytest.approx(2 * need(SMALL, UNITS).busy_cores)


def test_what_one_primary_cannot_do_is_spread_over_several() -> None:
    assert need(replace(SMALL, sends_per_s=20_000), UNITS).primaries == 3


def test_memory_is_that_of_a_host_when_another_is_lost() -> None:
    measured = replace(UNITS, connection_kib=6, kernel_kib=4, worker_mib=100)
    found = need(replace(SMALL, connections=102_400, cores=4), measured)
    assert (found.hosts, found.memory_mib_per_host) == (2, 4 * 100 + 1000)


def test_a_room_is_heard_by_no_more_workers_than_it_has_members_and_in_a_large_one_by_all() -> None:
    assert hearing(replace(SMALL, rooms_of=1), 8) == pytest.approx(1)
    assert hearing(replace(SMALL, rooms_of=2), 2) == pytest.approx(1.5)
    assert hearing(replace(SMALL, rooms_of=2000), 8) == pytest.approx(8)


def test_workers_are_as_many_as_take_the_load_with_what_they_take_themselves() -> None:
    found = need(Load(connections=20_000, rooms_of=20_000, sends_per_s=20), UNITS)
    alone_us = 20 * (100 + 20_000 * 10) + 20_000
    assert found.busy_cores == pytest.approx((alone_us + 20 * (found.workers - 1) * 40) / 1e6)
    assert found.workers == 7


def test_workers_that_hear_of_a_message_are_work_for_the_primary() -> None:
    load = Load(connections=100_000, rooms_of=100_000, sends_per_s=100)
    assert need(load, UNITS).primaries == 1
    assert need(load, replace(UNITS, heard_us=100)).primaries > 1
