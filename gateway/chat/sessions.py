"""All sessions of this worker.

Owns who is connected, by session id. The chat adds and takes out; presence reads, to put everybody back into a store
that has lost them.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.chat.session import Session


class Membership(NamedTuple):
    """A session in a room, the username under which it joined, and whose it is: see `Session.claimant`."""

    room: str
    session: str
    username: str
    user: str | None = None


class Sessions:
    """The sessions of one worker, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_user: dict[str, set[Session]] = {}  # of those who are no guests

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, sid: str) -> bool:
        return sid in self._by_id

    def add(self, session: Session) -> None:
        """A client has connected."""
        self._by_id[session.sid] = session
        if user := session.identity.user:
            self._by_user.setdefault(user, set()).add(session)

    def take_out(self, sid: str) -> Session | None:
        """A client is gone. Returns its session; None if it is not known, or was taken out before."""
        session = self._by_id.pop(sid, None)
        if session is not None and (of_user := self._by_user.get(session.identity.user)) is not None:
            of_user.discard(session)
            if not of_user:
                del self._by_user[session.identity.user]
        return session

    def of_user(self, user: str) -> list[Session]:
        """The sessions of a user who is no guest."""
        return list(self._by_user.get(user, ()))

    def get(self, sid: str) -> Session | None:
        """The session of that id, if it is connected here."""
        return self._by_id.get(sid)

    def all(self) -> list[Session]:
        """Everybody who is connected."""
        return list(self._by_id.values())

    def is_in(self, room: str, sid: str) -> bool:
        """Whether a session of this worker is in a room."""
        session = self._by_id.get(sid)
        return session is not None and room in session.rooms

    def everyone(self) -> list[Membership]:
        """Every membership on this worker."""
        return [
            Membership(room, session.sid, member.username, session.claimant)
            for session in self._by_id.values()
            for room, member in session.rooms.items()
        ]
