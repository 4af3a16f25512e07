"""The application sends a signal to all sessions of a user: each worker to those that it has when it hears the word."""

from __future__ import annotations

from gateway.chat.control import Word
from gateway.chat.sessions import Sessions


class UserSignals:
    """Hands signals to sessions of this worker."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def on_word(self, word: Word) -> None:
        """`user`, and `data`, the data of the event. Raises KeyError or ValueError."""
        user, data = word["user"], word["data"]
        if not (isinstance(user, str) and user and isinstance(data, dict)):
            raise ValueError("no word of this kind")
        for session in self._sessions.of_user(user):
            if not session.is_over:
                session.emit("signal", data)
