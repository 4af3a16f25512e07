"""What one worker is made of between Redis and its clients, for those who put the rest together."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.room_keeping import KeptByRule
from gateway.chat.moderated_rooms import ModeratedRooms
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.sessions import Sessions
from gateway.interfaces import CommandStore, PubSub
from gateway.rooms.hub import Hub
from gateway.rooms.publisher import Publisher
from gateway.state.history import Histories
from gateway.state.presence import Presence
from gateway.tracing import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """The parts of one worker.

    store       commands to Redis
    pubsub      the channels of Redis
    kept        how each room is kept, by its rule
    hub         the rooms of this worker
    publisher   stores messages and tells rooms
    histories   what was stored
    presence    who is where, in Redis
    tracker     presence of this worker's sessions
    sessions    the sessions themselves
    moderated   what moderators decided of rooms here
    tracing     tells what is traced, where anything is
    """

    store: CommandStore
    pubsub: PubSub
    kept: KeptByRule
    hub: Hub
    publisher: Publisher
    histories: Histories
    presence: Presence
    tracker: PresenceTracker
    sessions: Sessions
    moderated: ModeratedRooms
    tracing: Tracing | None = None
