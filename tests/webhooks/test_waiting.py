"""What a webhook must still be told, in memory: bounded, and each at its time."""

from __future__ import annotations

from gateway.state.hook_queue import MEMBER, MESSAGES, OCCUPIED, Mark
from gateway.webhooks.waiting import LOOKS_S, SOON_S, Waiting

TEA = Mark(MESSAGES, "tea")


def waiting(most: int = 10) -> Waiting:
    return Waiting(lambda: None, most)


def test_a_mark_is_due_at_once_and_busy_until_it_is_given_back() -> None:
    found = waiting()
    found.add(TEA, 0.0, 5.0)
    (item,) = found.take(5.0, 9)
    assert found.take(5.0, 9) == []
    found.give_back(item, 6.0)
    assert found.take(5.9, 9) == []
    assert found.take(6.0, 9) == [item]


def test_a_room_is_looked_at_again_after_each_pause_and_then_no_more() -> None:
    found, now_s = waiting(), 0.0
    found.add(TEA, 0.0, now_s)
    for pause_s in LOOKS_S:
        (item,) = found.take(now_s, 9)
        assert not found.found_nothing(item, now_s)
        assert found.take(now_s + pause_s * 0.99, 9) == []
        now_s += pause_s
    (item,) = found.take(now_s, 9)
    assert found.found_nothing(item, now_s)
    assert len(found) == 0


def test_after_it_was_told_a_room_is_looked_at_once_more_and_soon_if_it_has_more() -> None:
    found = waiting()
    found.add(TEA, 0.0, 0.0)
    (item,) = found.take(0.0, 9)
    assert not found.told(item, 1.0, 1.0, has_more=True)
    (item,) = found.take(1.0 + SOON_S, 9)
    assert not found.told(item, 2.0, 2.0, has_more=False)
    assert found.untold() == []
    (item,) = found.take(2.0 + LOOKS_S[-1], 9)
    assert found.found_nothing(item, 9.0)


def test_what_is_marked_while_it_is_told_is_looked_at_again() -> None:
    for kind in (MESSAGES, OCCUPIED, MEMBER):
        found, mark = waiting(), Mark(kind, "tea", "ann")
        found.add(mark, 0.0, 0.0)
        (item,) = found.take(0.0, 9)
        found.add(mark, 0.0, 0.0)
        assert not found.told(item, 1.0, 1.0, has_more=False)
        assert found.take(1.0 + SOON_S, 9) == [item]
        found.add(mark, 0.0, 0.0)
        assert not found.found_nothing(item, 2.0)
        assert found.take(2.0, 9) == [item]


def test_a_state_that_was_told_is_done() -> None:
    for kind in (OCCUPIED, MEMBER):
        found = waiting()
        found.add(Mark(kind, "tea"), 0.0, 0.0)
        (item,) = found.take(0.0, 9)
        assert found.told(item, 1.0, 1.0, has_more=False)
        assert len(found) == 0


def test_what_does_not_fit_is_said_by_its_sixteenth_and_memory_stays_bounded() -> None:
    found = waiting(3)
    for number in range(9):
        found.add(Mark(MESSAGES, f"room-{number}"), 0.0, 0.0)
    assert len(found) == 3
    assert found.overflowed == {Mark(MESSAGES, f"room-{number}").part for number in range(3, 9)}
    for _ in range(1000):  # of a webhook that is away, marked on and on
        found.add(Mark(MESSAGES, "room-0"), 0.0, 1.0)
    assert len(found._heap) == 3


def test_what_is_dropped_with_its_lease_is_gone_even_while_it_is_told() -> None:
    found = waiting()
    found.add(TEA, 0.0, 0.0)
    (item,) = found.take(0.0, 9)
    found.drop(TEA.part)
    assert not found.told(item, 1.0, 1.0, has_more=True)
    assert not found.found_nothing(item, 1.0)
    found.give_back(item, 1.0)
    assert len(found) == 0
    assert found.take(9.0, 9) == []
