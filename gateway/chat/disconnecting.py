"""The application ends all connections of a user.

Each worker ends those that it has when it hears the word. A user who may come back is told, and the transport closes:
stock clients come back by themselves. One who shall stay away gets DISCONNECT, after which they do not; nothing keeps
the user from connecting anew, for that there is a ban.
"""

from __future__ import annotations

import structlog

from gateway.chat.control import Word
from gateway.chat.sessions import Sessions
from gateway.protocol import Refusal

log = structlog.get_logger("gateway.chat")

SENTENCE = "The application has ended your connection."
REASON_MAX = 64
"""Longest word that a backend may give as the reason."""


class Disconnecting:
    """Ends sessions of this worker."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def on_word(self, word: Word) -> None:
        """`user`, `reconnect` and `code`, the reason that clients are told. Raises KeyError or ValueError."""
        user, may_return, code = word["user"], word["reconnect"], word.get("code") or "disconnected"
        if not (isinstance(user, str) and user and isinstance(may_return, bool) and isinstance(code, str)):
            raise ValueError("no word of this kind")
        why = Refusal("forbidden", SENTENCE, reason=code[:REASON_MAX], retryable=may_return)
        for session in self._sessions.of_user(user):
            if session.is_over:
                continue
            log.info("session_disconnected", session=session.sid, user=user, may_return=may_return)
            if may_return:
                session.tell(why)
                session.socket.end("disconnected by the application")
            else:
                session.end_for_good(why)
