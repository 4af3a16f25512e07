"""Evidence: what was seen at servers that were left, until the next one has been told."""

from __future__ import annotations

from gateway.protocol import Position, receive_json
from gateway.rooms.loss_detector import CLAIMS_MAX, LossDetector
from gateway.rooms.position_check import Observation
from gateway.state.history import OTHER, Snapshot

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
    assert known.claim(HERE) == (HERE, b"")
    known.acknowledged("p", 5, entry(5))
    known.acknowledged("p", 4, entry(4))
    assert known.claim(HERE) == (Position("p", 5), b"")
    assert known.claim(Position("p", 6)) == (Position("p", 6), b"")
    assert known.claim(Position("q", 1)) == (Position("q", 1), b"")


def test_the_present_epoch_is_told_first_then_the_oldest_claims_by_the_highest_and_latest() -> None:
    known = detector()
    for position, at_s in (("a", 4), 1.0), (("b", 9), 7.0), (("a", 6), 2.0), (("a", 5), 3.0):
        known.left(Position(*position), None, at_s)
    assert known.tell(Position("b", 1)) == (Position("b", 9), b"3000")
    known.settle()
    assert known.tell(Position("b", 1)) == (Position("a", 6), b"7000")
    known.settle()
    assert (known.has_claims, known.tell(HERE)) == (False, (HERE, b""))


def test_what_was_acknowledged_is_claimed_too() -> None:
    known = detector()
    known.acknowledged("z", 8, entry(8))
    known.left(HERE, None, 9.0)
    assert known.tell(HERE) == (HERE, b"1000")
    known.settle()
    assert known.tell(HERE) == (Position("z", 8), b"1000")
    assert known.is_contradicted(snapshot("z", 9, count=1), None)


def test_what_is_claimed_after_the_store_was_told_stays() -> None:
    known = detector()
    known.left(Position("a", 4), None, 1.0)
    known.tell(HERE)
    known.left(Position("a", 5), None, 2.0)
    known.settle()
    assert known.tell(HERE) == (Position("a", 5), b"8000")


def test_a_claim_made_again_is_as_old_as_it_was_and_nothing_is_claimed_without_an_epoch() -> None:
    known = detector()
    known.left(Position("", 0), None, 1.0)
    assert not known.has_claims
    known.left(HERE, None, 1.0)
    known.left(HERE, None, 9.0)
    assert known.claim(HERE) == (HERE, b"9000")


def test_claims_are_bounded_and_the_newest_stay() -> None:
    known = detector()
    for number in range(CLAIMS_MAX + 3):
        known.left(Position(f"e{number}", number + 1), None, 0.0)
    told = []
    while known.has_claims:
        told.append(known.tell(HERE)[0].seq)
        known.settle()
    assert told == list(range(4, CLAIMS_MAX + 4))


def test_another_message_or_none_that_can_be_seen_contradicts_a_claim() -> None:
    known = detector()
    known.left(Position("a", 2), b"other", 1.0)
    assert known.is_contradicted(snapshot("a", 5), None)
    assert known.claim(HERE)[1].startswith(OTHER)
    assert known.is_contradicted(snapshot("a", 5, count=3), None)
    assert not known.is_contradicted(snapshot("a", 1), None)
    assert not known.is_contradicted(snapshot("b", 5), None)
    assert known.claim(HERE) == (Position("a", 2), b"9000")


def test_what_members_saw_last_contradicts_only_by_another_message() -> None:
    known = detector()
    assert known.is_contradicted(snapshot("a", 5), Observation(Position("a", 2), b"other"))
    assert known.claim(Position("a", 2)) == (Position("a", 2), OTHER)
    assert not known.is_contradicted(snapshot("a", 5), Observation(Position("a", 2), heard("a", 2)))
    assert not known.is_contradicted(snapshot("a", 9, count=3), Observation(Position("a", 2), b"trimmed"))
    assert known.claim(HERE) == (HERE, b"")
