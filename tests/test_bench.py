"""What the benchmark makes of its measurements, and that its pages show it. Nothing is measured here."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from loadtest.bench import units
from loadtest.bench.contenders import REPOSITORY
from loadtest.bench.contests import GATEWAY, NODE, Goal, contests
from loadtest.bench.measuring import Measurement
from loadtest.bench.pages import PAGES, made, renewed
from loadtest.bench.places import Places
from loadtest.bench.probes import Counters, Trees
from loadtest.bench.report import Result, is_met, missed_goals, short_table, whole_table
from loadtest.bench.stored import RESULTS, read


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_show_what_was_measured(page: str) -> None:
    """The command that renews them is in the docstring of `loadtest/bench/pages.py`."""
    text = (REPOSITORY / page).read_text()
    for name in PAGES[page]:
        assert f"<!-- generated: {name} -->" in text
        assert renewed(text, name, made()[name]) == text


def test_units_follow_from_the_published_contests() -> None:
    """A contest that was measured again changes them, and so what the calculator answers."""
    published = units.load()
    for unit in units.derived(read(RESULTS)[1]):
        assert published[unit.name] == unit


def test_every_contest_has_published_figures() -> None:
    _, results = read(RESULTS)
    assert [each.name for each in results] == [each.name for each in contests()]


def _result(*goals: Goal, warming: int = 1, **by_label: list[float]) -> Result:
    runs = {
        label: [Measurement({"us_per_delivery": value}, 1, 1) for value in values]
        for label, values in by_label.items()
    }
    return Result("pairs", "rooms of two", "2026-11-26", warming, goals, runs)


def test_a_ratio_is_of_the_same_round_and_the_first_third_warms_up() -> None:
    result = _result(gateway=[90, 10, 20, 30], node=[10, 20, 20, 20])
    ratio = result.ratio("gateway", "node", "us_per_delivery")
    assert ratio is not None
    assert (ratio.middle, ratio.least, ratio.most) == (1.0, 0.5, 1.5)
    assert str(result.ratio("gateway", "node", "us_per_delivery", is_warming=True)) == "9.00"


def test_a_goal_that_is_missed_is_said_and_one_that_is_met_is_not() -> None:
    goal = Goal("us_per_delivery", 0.5, NODE, fast=0.4)
    missed = _result(goal, warming=0, gateway=[3.0], node=[4.0])
    assert missed_goals([missed]) == ["pairs: CPU per delivery, µs is 0.75, goal ≤ 0.5 (fast ≤ 0.4)"]
    assert "**no**" in whole_table([missed])
    assert "| rooms of two | 0.75 | – | – |" in short_table([missed])
    assert not missed_goals([_result(goal, warming=0, gateway=[1.0], node=[4.0])])


def test_memory_is_compared_with_nobody_who_freed_more_than_was_needed() -> None:
    def of(nodes: list[float]) -> Result:
        kib = {GATEWAY: [3.0, 4.0], NODE: nodes}
        runs = {
            label: [Measurement({"kib_per_connection": each}, 1, 1) for each in kib[label]] for label in kib
        }
        return Result("memory", "connections", "today", 0, (Goal("kib_per_connection", 3.5),), runs)

    assert "| connections | 0.35 (0.30–0.40) |" in short_table([of([10.0, 10.0])])
    assert "| connections | cannot be told; 3.50 KiB by itself |" in short_table([of([20.0, -1.0])])


def test_of_a_least_more_is_met() -> None:
    found = _result(warming=0, gateway=[5.0]).figure("gateway", "us_per_delivery")
    assert found is not None
    assert is_met(Goal("us_per_delivery", 4.0, is_least=True), found)
    assert not is_met(Goal("us_per_delivery", 4.0), found)


def test_another_checkout_is_a_contender_of_its_own() -> None:
    lanes = next(iter(contests((GATEWAY, "before=/somewhere")))).lanes
    assert [(lane.label, lane.contender) for lane in lanes] == [(GATEWAY, GATEWAY), ("before", GATEWAY)]
    assert lanes[1].folder == Path("/somewhere")


def test_processor_time_and_memory_of_a_process_are_read() -> None:
    tree = Trees([os.getpid()])
    before_us, begun_us = tree.cpu_us(), time.process_time() * 1e6
    while time.process_time() * 1e6 < begun_us + 100_000:  # a tenth of a second on a core
        pass
    assert 80_000 <= tree.cpu_us() - before_us <= 1_000_000
    assert tree.pss_kib() > 5_000


def test_rooms_that_are_spread_have_as_many_members_on_each_home() -> None:
    places = Places(rooms=50, members=20, homes=8)
    taken = [
        (home, room) for home in "abcdefgh" for _ in range(200) if (room := places.take(home)) is not None
    ]
    assert (places.left, places.take("a"), places.take("i")) == (0, None, None)
    assert set(Counter(home for home, _ in taken).values()) == {125}
    assert set(Counter(room for _, room in taken).values()) == {20}
    assert set(Counter(taken).values()) == {2, 3}, "of each room, on each home"


def test_rooms_are_filled_one_after_the_other() -> None:
    places = Places(rooms=2, members=2)
    assert [places.take() for _ in range(5)] == [0, 0, 1, 1, None]


def test_counters_leave_out_what_did_not_grow_and_their_own_reading() -> None:
    before, after = (
        Counters({"get": 1, "set": 2, "info": 1}),
        Counters({"get": 4, "set": 2, "info": 2, "del": 1}),
    )
    assert after.since(before) == {"del": 1, "get": 3}
