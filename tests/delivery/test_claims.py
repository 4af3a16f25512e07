"""Claims: what was seen at servers that were left, until the next one has been told."""

from __future__ import annotations

from gateway.delivery.claims import CLAIMS_MAX, Claims
from gateway.delivery.positions import Seen
from gateway.protocol import Position
from gateway.state.history import Snapshot

ROOM = b'"tea"'


def seen(epoch: str, seq: int, data: bytes | None = None) -> Seen:
    return Seen(Position(epoch, seq), data)


def test_the_present_epoch_is_told_first_then_the_oldest_claims_by_the_highest_and_latest() -> None:
    claims = Claims()
    assert claims.epoch("p") == "p"
    for one, at_s in ((seen("a", 4), 1.0), (seen("b", 9), 7.0), (seen("a", 6), 2.0), (seen("a", 5), 3.0)):
        claims.add(one, at_s)
    assert [claims.epoch(present) for present in ("p", "a", "b", "")] == ["a", "a", "b", "a"]
    assert (claims.seq("a"), claims.latest_s("a")) == (6, 3.0)
    claims.tell("a")
    claims.settle()
    assert (claims.epoch("a"), claims.seq("b"), claims.latest_s("b")) == ("b", 9, 7.0)
    assert (claims.seq("a"), claims.latest_s("a")) == (0, None)
    claims.tell("b")
    claims.settle()
    assert (bool(claims), claims.epoch("a")) == (False, "a")


def test_what_is_claimed_after_the_store_was_told_stays() -> None:
    claims = Claims()
    claims.add(seen("a", 4), 1.0)
    claims.tell("a")
    claims.add(seen("a", 5), 2.0)
    claims.settle()
    assert (claims.seq("a"), claims.latest_s("a")) == (5, 2.0)
    claims.settle()
    assert claims


def test_a_claim_made_again_is_as_old_as_it_was_and_nothing_is_claimed_without_an_epoch() -> None:
    claims = Claims()
    claims.add(seen("", 0), 1.0)
    assert not claims
    claims.add(seen("a", 4), 1.0)
    claims.add(seen("a", 4), 9.0)
    assert claims.latest_s("a") == 1.0


def test_claims_are_bounded_and_the_newest_stay() -> None:
    claims = Claims()
    for number in range(1, CLAIMS_MAX + 4):
        claims.add(seen("a", number), float(number))
    claims.tell("a")
    assert (claims.seq("a"), claims.latest_s("a")) == (CLAIMS_MAX + 3, float(CLAIMS_MAX + 3))
    assert sum(1 for _ in claims._claims) == CLAIMS_MAX


def test_a_claim_is_contradicted_by_another_message_or_by_none_that_can_be_seen() -> None:
    claims = Claims()
    claims.add(seen("a", 2, b"other"), 1.0)
    entries = [b'{"message":"m%d","username":"u","__createdtime__":1}' % seq for seq in range(1, 6)]
    assert claims.are_contradicted(Snapshot("a", 5, entries), ROOM)
    assert claims.are_contradicted(Snapshot("a", 5, entries[2:]), ROOM)
    assert not claims.are_contradicted(Snapshot("a", 1, entries[:1]), ROOM)
    assert not claims.are_contradicted(Snapshot("b", 5, entries), ROOM)
