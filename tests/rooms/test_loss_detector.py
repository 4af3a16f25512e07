"""Loss detection: what was seen at servers that were left, until the next one has been told."""

from __future__ import annotations

from gateway.protocol import Position, receive_json
from gateway.rooms.loss_detector import OBSERVATIONS_MAX, LossDetector
from gateway.rooms.position_check import Observation
from gateway.state.history import Observed, Snapshot

ROOM = b'"tea"'
HERE = Position("p", 3)


def entry(seq: int) -> bytes:
    return b'{"message":"m%d","username":"u","__createdtime__":1}' % seq


def heard(epoch: str, seq: int) -> bytes:
    return receive_json(entry(seq), ROOM, Position(epoch, seq))


def snapshot(epoch: str, seq: int, count: int = 100) -> Snapshot:
    return Snapshot(epoch, seq, [entry(number) for number in range(max(1, seq - count + 1), seq + 1)])


class Time:
    """A clock that stands where it is put."""

    now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


def detector() -> LossDetector:
    return LossDetector(ROOM, Time())


def test_without_claims_the_room_or_what_was_acknowledged_in_its_epoch_is_told() -> None:
    known = detector()
    assert known.observed(HERE) == Observed(HERE)
    known.acknowledged("p", 5, entry(5))
    known.acknowledged("p", 4, entry(4))
    assert known.observed(HERE) == Observed(Position("p", 5))
    assert known.observed(Position("p", 6)) == Observed(Position("p", 6))
    assert known.observed(Position("q", 1)) == Observed(Position("q", 1))


def test_the_present_epoch_is_told_first_then_the_oldest_claims_by_the_highest_and_latest() -> None:
    known = detector()
    for position, at_s in (("a", 4), 1.0), (("b", 9), 7.0), (("a", 6), 2.0), (("a", 5), 3.0):
        known.server_left(Position(*position), None, at_s)
    assert known.ask(Position("b", 1)) == Observed(Position("b", 9), age_ms=3000)
    known.confirm()
    assert known.ask(Position("b", 1)) == Observed(Position("a", 6), age_ms=7000)
    known.confirm()
    assert (known.has_observations, known.ask(HERE)) == (False, Observed(HERE))


def test_what_was_acknowledged_is_claimed_too() -> None:
    known = detector()
    known.acknowledged("z", 8, entry(8))
    known.server_left(HERE, None, 9.0)
    assert known.ask(HERE) == Observed(HERE, age_ms=1000)
    known.confirm()
    assert known.ask(HERE) == Observed(Position("z", 8), age_ms=1000)
    assert known.is_contradicted(snapshot("z", 9, count=1), None)


def test_what_is_claimed_after_the_store_was_told_stays() -> None:
    known = detector()
    known.server_left(Position("a", 4), None, 1.0)
    known.ask(HERE)
    known.server_left(Position("a", 5), None, 2.0)
    known.confirm()
    assert known.ask(HERE) == Observed(Position("a", 5), age_ms=8000)


def test_a_claim_made_again_is_as_old_as_it_was_last_and_nothing_is_claimed_without_an_epoch() -> None:
    """The channel may leave a server long after it heard it last, and commands after one more acknowledgement."""
    known = detector()
    known.server_left(Position("", 0), None, 1.0)
    assert not known.has_observations
    known.server_left(HERE, None, 1.0)
    known.server_left(HERE, None, 9.0)
    known.server_left(HERE, None, 5.0)
    assert known.observed(HERE) == Observed(HERE, age_ms=1000)


def test_claims_are_bounded_and_the_newest_stay() -> None:
    known = detector()
    for number in range(OBSERVATIONS_MAX + 3):
        known.server_left(Position(f"e{number}", number + 1), None, 0.0)
    told = []
    while known.has_observations:
        told.append(known.ask(HERE).position.seq)
        known.confirm()
    assert told == list(range(4, OBSERVATIONS_MAX + 4))


def test_another_message_or_none_that_can_be_seen_contradicts_a_claim() -> None:
    known = detector()
    known.server_left(Position("a", 2), b"other", 1.0)
    assert known.is_contradicted(snapshot("a", 5), None)
    assert known.observed(HERE).is_contradicted
    assert known.is_contradicted(snapshot("a", 5, count=3), None)
    assert known.is_contradicted(snapshot("a", 2, count=0), None), "a room that keeps nothing"
    assert not known.is_contradicted(snapshot("a", 1), None)
    assert not known.is_contradicted(snapshot("b", 5), None)
    assert known.observed(HERE) == Observed(Position("a", 2), age_ms=9000)


def test_what_members_saw_last_contradicts_only_by_another_message() -> None:
    known = detector()
    assert known.is_contradicted(snapshot("a", 5), Observation(Position("a", 2), b"other"))
    assert known.observed(Position("a", 2)) == Observed(Position("a", 2), True)
    assert not known.is_contradicted(snapshot("a", 5), Observation(Position("a", 2), heard("a", 2)))
    assert not known.is_contradicted(snapshot("a", 9, count=3), Observation(Position("a", 2), b"trimmed"))
    assert known.observed(HERE) == Observed(HERE)
