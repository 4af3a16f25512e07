"""The options of presence, as the chat needs them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceOptions:
    """What is announced, and when somebody who is gone has left."""

    system_name: str
    """The username under which notices are sent."""
    notices_users_max: int
    """A room with more users than this gets no notices."""
    grace_s: float
    """How long a session whose connection dropped stays a member."""
    heartbeat_s: float
    """Time from one heartbeat of a worker to the next."""
