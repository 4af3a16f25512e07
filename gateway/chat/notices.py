"""Notices: `<name> has joined the room`, `<name> has left the room`.

Owns their wording and the size of a room from which nobody is announced; a room's rule may want none at all. A notice
is sent at most once and is not stored: who is not there does not get it. It bears the store's time, as messages do.
"""

from __future__ import annotations

import orjson

from gateway.access.room_rules import RoomRules, open_to
from gateway.option_groups import PresenceOptions
from gateway.protocol import notice_json
from gateway.rooms.publisher import Publisher
from gateway.state.presence import Change


class Notices:
    """Tells a room who came and who went."""

    def __init__(
        self, publisher: Publisher, options: PresenceOptions, rules: RoomRules | None = None
    ) -> None:
        self._publisher = publisher
        self._rules = rules or open_to(False)
        self._system_name = options.system_name
        self._users_max = options.notices_users_max

    def joined(self, room: str, username: str, change: Change, except_session: str) -> None:
        """A user came, by this session, which is not told."""
        self._announce(room, f"{username} has joined the room", change, except_session)

    def left(self, room: str, username: str, change: Change) -> None:
        """A user's last session is gone."""
        self._announce(room, f"{username} has left the room", change, "")

    def _announce(self, room: str, sentence: str, change: Change, except_session: str) -> None:
        if change.count > self._users_max:
            return
        rule = self._rules.rule(room)
        if rule is not None and not rule.announces:
            return
        notice = notice_json(sentence, self._system_name, orjson.dumps(room), change.at_ms)
        self._publisher.tell(room, "receive", notice, except_session)
