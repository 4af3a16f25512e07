"""What the chat of a worker stands on."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.access.connection_limits import ConnectionLimits
from gateway.access.permissions import Permissions
from gateway.admission import AdmissionControl
from gateway.chat.identities import Identities
from gateway.chat.memberships import Memberships
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.sessions import Sessions
from gateway.chat.talking import TalkParts
from gateway.option_groups import Sizes
from gateway.rooms.hub import Hub
from gateway.rooms.publisher import Publisher
from gateway.state.history import Histories


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatParts:
    """The parts that the chat is put together from.

    sessions     of this worker
    hub          the rooms of this worker
    publisher    stores messages and tells rooms
    tracker      presence of this worker's sessions
    histories    what was stored
    memberships  who is in which room, and may be
    permissions  who may do what where
    identities   who clients are
    talk         what is said beside messages
    sizes        how long names and messages may be
    limits       how much a connection may do
    limit_s      the longest that an event may wait for the store
    admission    how many joins are begun at once
    """

    sessions: Sessions
    hub: Hub
    publisher: Publisher
    tracker: PresenceTracker
    histories: Histories
    memberships: Memberships
    permissions: Permissions
    identities: Identities
    talk: TalkParts
    sizes: Sizes
    limits: ConnectionLimits
    limit_s: float
    admission: AdmissionControl = field(default_factory=AdmissionControl)
