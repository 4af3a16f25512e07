"""All sessions of this worker.

Owns who is connected, by session id. The chat adds and takes out; presence reads, to put everybody back into a store
that has lost them.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.chat.session import Session


class Membership(NamedTuple):
    """A session in a room, and the username under which it joined."""

    room: str
    session: str
    username: str


class Sessions:
    """The sessions of one worker, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, sid: str) -> bool:
        return sid in self._by_id

    def add(self, session: Session) -> None:
        """A client has connected."""
        self._by_id[session.sid] = session

    def take_out(self, sid: str) -> Session | None:
        """A client is gone. Returns its session; None if it is not known, or was taken out before."""
        return self._by_id.pop(sid, None)

    def get(self, sid: str) -> Session | None:
        """The session of that id, if it is connected here."""
        return self._by_id.get(sid)

    def is_in(self, room: str, sid: str) -> bool:
        """Whether a session of this worker is in a room."""
        session = self._by_id.get(sid)
        return session is not None and room in session.rooms

    def everyone(self) -> list[Membership]:
        """Every membership on this worker."""
        return [
            Membership(room, session.sid, member.username)
            for session in self._by_id.values()
            for room, member in session.rooms.items()
        ]
