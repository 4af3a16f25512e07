"""How each room is kept, by its rule; where the rule says nothing, by the options."""

from __future__ import annotations

from gateway.access.room_rules import RoomRule, RoomRules
from gateway.option_groups import DAY_S, PublishOptions
from gateway.state.keeping import Keeping, kept_by


class KeptByRule:
    """What the scripts are told about rooms (`state.keeping.RoomKeeping`). Values only."""

    def __init__(self, rules: RoomRules, options: PublishOptions) -> None:
        self._rules = rules
        self._otherwise = kept_by(options)
        self._by_rule = {id(rule): _kept(rule, self._otherwise) for rule in rules.rules}

    def keeping(self, room: str) -> Keeping:
        """How a room is kept."""
        rule = self._rules.rule(room)
        return self._otherwise if rule is None else self._by_rule[id(rule)]


def _kept(rule: RoomRule, otherwise: Keeping) -> Keeping:
    history_ttl_s = otherwise.history_ttl_s
    if rule.history_days is not None:
        history_ttl_s = round(rule.history_days * DAY_S)
    return Keeping(
        messages=otherwise.messages if rule.history is None else rule.history,
        shown_max=rule.history,
        history_ttl_s=history_ttl_s,
        # A history without its position would be numbered anew.
        position_ttl_s=max(otherwise.position_ttl_s, history_ttl_s),
        slow_ms=round(rule.slow_s * 1000),
        gather_ms=rule.gather_ms,
    )
