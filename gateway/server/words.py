"""Who hears which word to all workers (`chat/control.py`)."""

from __future__ import annotations

from gateway.chat.control import REVOKED, Control
from gateway.chat.disconnecting import Disconnecting
from gateway.chat.revoking import Revoking
from gateway.chat.sessions import Sessions
from gateway.chat.user_signals import UserSignals
from gateway.interfaces import CommandStore


def control_of(store: CommandStore, sessions: Sessions, revoking: Revoking) -> Control:
    """The words of one worker."""
    hear = {
        REVOKED: revoking.on_word,
        "disconnect": Disconnecting(sessions).on_word,
        "signal": UserSignals(sessions).on_word,
    }
    return Control(store, hear)
