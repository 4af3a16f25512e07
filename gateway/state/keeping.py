"""How much of a room is kept, and how it is written: what differs from room to room.

Owns the values that the scripts are told. Which room has which is decided elsewhere (`access/room_rules.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.option_groups import PublishOptions


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a room is kept.

    messages        messages that are stored; 0 stores none, and the position goes on
    shown_max       messages that readers see, the newest; None for all that are stored
    history_ttl_s   how long the history of a quiet room is kept
    position_ttl_s  how long its position is kept; not shorter
    slow_ms         least time between two messages of one user; 0 for none
    gather_ms       for so long a worker gathers what it writes to members; 0 for not at all
    """

    messages: int
    shown_max: int | None
    history_ttl_s: int
    position_ttl_s: int
    slow_ms: int = 0
    gather_ms: int = 0


class RoomKeeping(Protocol):
    """Who knows how each room is kept."""

    def keeping(self, room: str) -> Keeping:
        """How a room is kept."""


class KeptAlike:
    """All rooms are kept as the options say."""

    def __init__(self, options: PublishOptions) -> None:
        self._keeping = kept_by(options)

    def keeping(self, room: str) -> Keeping:
        """The same for every room."""
        return self._keeping


def kept_by(options: PublishOptions) -> Keeping:
    """How the options keep a room of which no rule says more."""
    return Keeping(options.history_messages, None, options.history_ttl_s, options.position_ttl_s)
