"""What the methods of the server API stand on: the parts of a worker that they use, and who calls.

Owns the shapes, no behaviour. Everything is handed in by `server/app.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.access.api_keys import ApiKey
from gateway.api.load import Load
from gateway.chat.control import Control
from gateway.chat.moderation import Moderation
from gateway.option_groups import Sizes
from gateway.rooms.hub import Hub
from gateway.rooms.publisher import Publisher
from gateway.state.census import Census
from gateway.state.history import Histories
from gateway.state.presence import Presence
from gateway.state.revocations import RevocationStore
from gateway.transport.turns import Turns

Result = dict[str, Any] | bytes
"""What a method answers: an object, or one that is JSON already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one worker.

    control       says words to all workers
    moderation    what moderators do
    turns         the turns of this worker's clients: what is much waits for them
    load          how much of the API is under way
    token_life_s  how long a token may count at most, from when it was issued: so long a revocation is kept
    clock         seconds since 1970
    """

    hub: Hub
    publisher: Publisher
    histories: Histories
    presence: Presence
    census: Census
    revocations: RevocationStore
    control: Control
    moderation: Moderation
    turns: Turns
    load: Load
    sizes: Sizes
    token_life_s: float
    clock: Callable[[], float]


class Caller(Protocol):
    """Who calls a method: its key, and the way to call other methods for it."""

    @property
    def key(self) -> ApiKey: ...

    async def call(self, name: object, data: Any) -> bytes:
        """Calls another method for the same key; returns its answer as JSON. Raises Refusal."""
