"""The words of `gateway explain` and the decision are of one mind."""

from __future__ import annotations

import random

from gateway.access.explanation import ASKS, YES, explain
from gateway.access.identity import GUEST, Identity
from gateway.access.rights import OPERATIONS
from gateway.access.room_rules import JOIN_WORDS, SEND_WORDS, RoomRule, rights_by


def test_what_is_explained_is_what_is_decided() -> None:
    chance = random.Random(12)
    for _ in range(3000):
        rule = RoomRule(
            match="**",
            join=chance.choice(JOIN_WORDS),
            send=chance.choice(SEND_WORDS),
            members=chance.choice(("list", "count", "off")),
            signals=chance.random() < 0.5,
            history=chance.choice((None, 0, 5)),
        )
        words = frozenset(chance.sample([*OPERATIONS, "*"], chance.randint(0, 3)))
        identity = chance.choice((GUEST, Identity(user="1", grants={"a:*": words})))
        reasons = list(explain(rule, identity, "a:1"))
        assert [reason.operation for reason in reasons] == list(OPERATIONS)
        always, at_best = rights_by(rule, identity, "a:1"), rights_by(rule, identity, "a:1", 63)
        for reason in reasons:
            bit = OPERATIONS[reason.operation]
            assert (reason.verdict == YES) == bool(always & bit), (rule, identity, reason)
            assert (reason.verdict in (YES, ASKS)) == bool(at_best & bit), (rule, identity, reason)


def test_where_no_rule_matches_nobody_may_anything() -> None:
    assert {reason.verdict for reason in explain(None, GUEST, "a")} == {"no"}
