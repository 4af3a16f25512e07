"""Notices: `<name> has joined the room`, `<name> has left the room`.

Owns their wording and the size of a room from which nobody is announced. A notice is sent at most once and is not
stored: who is not there does not get it.
"""

from __future__ import annotations

import time

import orjson

from gateway.protocol import notice_json
from gateway.rooms.publisher import Publisher
from gateway.settings import PresenceOptions


class Notices:
    """Tells a room who came and who went."""

    def __init__(self, publisher: Publisher, options: PresenceOptions) -> None:
        self._publisher = publisher
        self._system_name = options.system_name
        self._users_max = options.notices_users_max

    def joined(self, room: str, username: str, count: int, except_session: str) -> None:
        """A user came, by this session, which is not told. The room now has `count` users."""
        self._announce(room, f"{username} has joined the room", count, except_session)

    def left(self, room: str, username: str, count: int) -> None:
        """A user's last session is gone. The room now has `count` users."""
        self._announce(room, f"{username} has left the room", count, "")

    def _announce(self, room: str, sentence: str, count: int, except_session: str) -> None:
        if count > self._users_max:
            return
        now_ms = int(time.time() * 1000)
        notice = notice_json(sentence, self._system_name, orjson.dumps(room), now_ms)
        self._publisher.announce(room, notice, except_session)
