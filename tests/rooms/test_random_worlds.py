"""What members see stays whole in every order of events: seeded random worlds, judged from the members' side."""

from __future__ import annotations

import pytest

from gateway.protocol import Position
from gateway.rooms import catching_up, outgoing
from gateway.rooms.member import MemberState
from tests.support.rooms_model import Person, Truth, World, original

STEPS = 400
SEEDS, BLOCK = 500, 50
"""Worlds of each of the five kinds, and how many a test runs."""


def judge(person: Person, truth: Truth) -> list[str]:
    """What is wrong with what a member saw: between two announced breaks (a gap, or a join that did not recover) the
    positions count up by one, and every message was published right after the one before."""
    breaks = {at for at, is_whole in person.joins if not is_whole}
    wrong, last, last_text = [], None, ""
    for at, one in enumerate(person.recorder.seen()):
        if at in breaks or one.kind == "gap":
            last = None
        if one.kind != "stored":
            continue
        assert one.position is not None
        if last is not None and one.position != (last.epoch, last.seq + 1):
            wrong.append(f"{last} {last_text} is followed by {one.position} {one.text}")
        elif last is not None and truth.parents[original(one.text)] != last_text:
            wrong.append(f"{one.text} was not published after {last_text}, and no gap tells")
        last, last_text = one.position, original(one.text)
    return wrong


def unannounced(person: Person, world: World) -> list[str]:
    """Acknowledged messages that a member never got, and of which it was not told after they were acknowledged."""
    seen = person.recorder.seen()
    texts = {original(one.text) for one in seen if one.kind == "stored"}
    broken = [at for at, is_whole in person.joins if not is_whole]
    last = max([*broken, *(at for at, one in enumerate(seen) if one.kind == "gap")], default=-1)
    return [
        one.text
        for one in world.acknowledged
        if one.text not in texts and last < one.seen.get(person.who, -1)
    ]


SMALL_BYTES = 130
"""A piece of one or two of the messages here, so that who catches up often stops half-way."""


def run(
    seed: int,
    loses_data: bool,
    splits: bool = False,
    has_bus: bool = False,
    has_changes: bool = False,
    gathers: bool = False,
) -> World:
    usual = catching_up.PIECE_BYTES, outgoing.GATHERED_BYTES_MAX
    if seed % 2:
        catching_up.PIECE_BYTES = SMALL_BYTES
    if seed % 4 > 1:
        outgoing.GATHERED_BYTES_MAX = 3 * SMALL_BYTES
    try:
        return _run(World(seed, loses_data, splits, has_bus, has_changes, gathers))
    finally:
        catching_up.PIECE_BYTES, outgoing.GATHERED_BYTES_MAX = usual


def _run(world: World) -> World:
    for worker in world.workers:
        worker.come()
    for _ in range(STEPS):
        world.step()
    world.settle()
    return world


@pytest.mark.parametrize("block", range(SEEDS // BLOCK))
@pytest.mark.parametrize(
    ("loses_data", "splits", "has_bus"),
    [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (True, True, False),
        (False, True, True),
    ],
)
def test_nothing_is_missing_doubled_or_misordered_unless_a_gap_says_so(
    block: int, loses_data: bool, splits: bool, has_bus: bool
) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        assert_whole(run(seed, loses_data, splits, has_bus), seed)


def assert_whole(world: World, seed: int) -> None:
    """Everybody got everything, or was told."""
    for worker in world.workers:
        assert worker.room.joining == 0
        for person in worker.people:
            assert judge(person, world.truth) == [], f"seed {seed}"
            assert unannounced(person, world) == [], f"seed {seed}"
            assert person.member.state is MemberState.LIVE, f"seed {seed}"
            last = person.last()
            if world.store.texts:
                assert last is not None, f"seed {seed}"
                assert original(last.text) == original(world.store.texts[-1]), f"seed {seed}"


@pytest.mark.parametrize("block", range(2))
@pytest.mark.parametrize(
    ("loses_data", "splits", "has_bus", "has_changes"),
    [
        (False, False, False, False),
        (True, False, False, True),
        (True, True, False, False),
        (False, True, True, True),
    ],
)
def test_the_same_holds_in_a_room_that_gathers(
    block: int, loses_data: bool, splits: bool, has_bus: bool, has_changes: bool
) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        world = run(seed, loses_data, splits, has_bus, has_changes, gathers=True)
        assert_whole(world, seed)
        for person in (one for worker in world.workers for one in worker.people):
            assert outdated(person, world) == [], f"seed {seed}"
            if not loses_data and not splits:
                assert groundless_gaps(person) == [], f"seed {seed}"


CHANGING_SEEDS = 200
"""Worlds of each kind in which messages are changed."""


@pytest.mark.parametrize("block", range(CHANGING_SEEDS // BLOCK))
@pytest.mark.parametrize(
    ("loses_data", "splits", "has_bus"), [(False, False, False), (True, True, False), (False, True, True)]
)
def test_nobody_shows_a_message_as_it_was_before_a_change_that_is_kept(
    block: int, loses_data: bool, splits: bool, has_bus: bool
) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        world = run(seed, loses_data, splits, has_bus, has_changes=True)
        assert_whole(world, seed)
        for worker in world.workers:
            for person in worker.people:
                assert outdated(person, world) == [], f"seed {seed}"


def outdated(person: Person, world: World) -> list[str]:
    """Messages that a member shows otherwise than the store. Where a change was lost, it may show the change."""
    shown = {one.position: one.text for one in person.recorder.seen() if one.kind in ("stored", "changed")}
    store, oldest = world.store, world.store.seq - len(world.store.texts) + 1
    kept = {Position(store.epoch, oldest + place): text for place, text in enumerate(store.texts)}
    return [
        f"{at} as {shown[at]} and not {text}"
        for at, text in kept.items()
        if len(shown.get(at, text)) < len(text)
    ]


@pytest.mark.parametrize("block", range(2))
def test_a_change_makes_nobody_believe_that_something_was_lost(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        world = run(seed, loses_data=False, has_changes=True)
        assert world.truth.epochs <= 1, f"seed {seed}"
        for worker in world.workers:
            for person in worker.people:
                assert groundless_gaps(person) == [], f"seed {seed}"
                assert outdated(person, world) == [], f"seed {seed}"


@pytest.mark.parametrize("block", range(4))
def test_where_no_data_is_lost_a_gap_is_only_told_where_one_is(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        for worker in run(seed, loses_data=False).workers:
            for person in worker.people:
                assert groundless_gaps(person) == [], f"seed {seed}"


def groundless_gaps(person: Person) -> list[str]:
    """Gaps that were announced though the next message follows the last one, or had been seen."""
    breaks = {at for at, _ in person.joins}
    found, last, is_announced = [], None, False
    for at, one in enumerate(person.recorder.seen()):
        is_announced = (is_announced or one.kind == "gap") and at not in breaks
        if one.position is not None and one.kind == "stored":
            if is_announced and last is not None and one.position.seq <= last.seq + 1:
                found.append(f"a gap between {last} and {one.position}")
            last, is_announced = one.position, False
    return found
