"""The position check: what follows, what was seen, what is missing, and what a snapshot can still give."""

from __future__ import annotations

import pytest

from gateway.protocol import Position, receive_json
from gateway.rooms.position_check import Arrival, Observation, judge, missed, since
from gateway.state.history import NO_POSITION, Snapshot

HERE = Position("a", 5)
ROOM = b'"tea"'


def snapshot(seq: int, count: int, epoch: str = "a") -> Snapshot:
    """A room at `seq` that still holds its last `count` entries."""
    return Snapshot(epoch, seq, [entry(number) for number in range(seq - count + 1, seq + 1)])


def entry(seq: int) -> bytes:
    return b'{"message":"m%d","username":"u","__createdtime__":1}' % seq


@pytest.mark.parametrize(
    ("epoch", "seq", "arrival"),
    [
        ("a", 6, Arrival.NEXT),
        ("a", 5, Arrival.SEEN),
        ("a", 1, Arrival.SEEN),
        ("a", 7, Arrival.HOLE),
        ("b", 6, Arrival.HOLE),
        ("b", 1, Arrival.HOLE),
    ],
)
def test_a_message_is_next_or_seen_or_shows_a_hole(epoch: str, seq: int, arrival: Arrival) -> None:
    assert judge(HERE, epoch, seq) is arrival


def test_a_reader_at_the_newest_message_misses_nothing() -> None:
    found = missed(HERE, snapshot(5, 3))
    assert (list(found.entries), found.is_gap) == ([], False)


def test_a_reader_gets_exactly_what_came_after_its_position() -> None:
    found = missed(HERE, snapshot(8, 6))
    assert (found.entries, found.is_gap) == ([(6, entry(6)), (7, entry(7)), (8, entry(8))], False)


def test_a_reader_just_before_the_oldest_entry_misses_nothing() -> None:
    found = missed(HERE, snapshot(8, 3))
    assert ([seq for seq, _ in found.entries], found.is_gap) == ([6, 7, 8], False)


def test_one_trimmed_message_makes_a_gap_with_all_that_is_left() -> None:
    found = missed(HERE, snapshot(9, 3))
    assert ([seq for seq, _ in found.entries], found.is_gap, found.trusted) == ([7, 8, 9], True, HERE)


def test_another_epoch_is_a_gap_and_the_last_position_is_what_holds() -> None:
    found = missed(HERE, snapshot(7, 2, "b"))
    assert ([seq for seq, _ in found.entries], found.is_gap, found.trusted) == ([6, 7], True, HERE)


def test_a_seq_that_went_back_is_a_gap_down_to_the_stores_own_position() -> None:
    found = missed(HERE, snapshot(3, 3))
    assert (found.is_gap, found.trusted) == (True, Position("a", 3))


def heard(seq: int) -> bytes:
    return receive_json(entry(seq), ROOM, HERE)


def test_another_message_in_the_last_ones_place_is_noticed() -> None:
    assert not Observation(HERE, heard(5)).is_contradicted(snapshot(6, 4), ROOM)
    assert Observation(HERE, heard(50)).is_contradicted(snapshot(6, 4), ROOM)


def test_what_cannot_be_compared_is_not_called_another() -> None:
    other = Observation(HERE, heard(50))
    assert not Observation(HERE).is_contradicted(snapshot(6, 4), ROOM), "the last message is not known"
    assert not other.is_contradicted(snapshot(9, 2), ROOM), "its place is trimmed"
    assert not other.is_contradicted(snapshot(6, 4, "b"), ROOM), "the epoch is another"


def test_a_place_is_out_of_sight_only_where_it_has_been_trimmed() -> None:
    assert [Observation(HERE).is_trimmed(snapshot(seq, 4)) for seq in (5, 8, 9)] == [False, False, True]
    assert not Observation(HERE).is_trimmed(snapshot(9, 4, "b"))
    assert not Observation(Position("a", 0)).is_trimmed(snapshot(9, 4))


def test_a_join_without_since_gets_everything_and_no_word_on_recovery() -> None:
    entries, recovered = since(None, snapshot(3, 3))
    assert ([seq for seq, _ in entries], recovered) == ([1, 2, 3], None)


@pytest.mark.parametrize(
    ("position", "seqs", "recovered"),
    [
        (Position("a", 100), [], True),
        (Position("a", 99), [100], True),
        (Position("a", 0), list(range(1, 101)), True),
        (Position("b", 100), list(range(1, 101)), False),
        (Position("a", 101), list(range(1, 101)), False),
        (NO_POSITION, list(range(1, 101)), False),
    ],
)
def test_since_is_honoured_wholly_or_not_at_all(position: Position, seqs: list[int], recovered: bool) -> None:
    entries, found = since(position, snapshot(100, 100))
    assert ([seq for seq, _ in entries], found) == (seqs, recovered)


def test_since_that_is_101_messages_ago_is_not_half_filled() -> None:
    entries, recovered = since(Position("a", 0), snapshot(101, 100))
    assert (len(entries), recovered) == (100, False)
