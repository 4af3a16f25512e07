"""The chat of one worker, put together from the worker's parts and the options."""

from __future__ import annotations

from gateway.access.connection_limits import ConnectionLimits
from gateway.access.new_rooms import NewRooms
from gateway.access.room_rules import RoomRules
from gateway.admission import AdmissionControl
from gateway.chat.handlers import Chat
from gateway.chat.identities import Identities
from gateway.chat.judging import Judging
from gateway.chat.memberships import Memberships
from gateway.chat.parts import ChatParts
from gateway.chat.talking import TalkParts
from gateway.server.connections import ANSWERED_WITHIN
from gateway.server.rules import permissions_for, send_hook_for
from gateway.server.worker_parts import WorkerParts
from gateway.settings import Settings
from gateway.state.read_marks import ReadMarks
from gateway.state.sent import Sent


def chat_of(
    settings: Settings,
    rules: RoomRules,
    parts: WorkerParts,
    identities: Identities,
    admission: AdmissionControl,
) -> Chat:
    """The chat. Raises SettingsError where a secret cannot be read."""
    rooms_max = settings.limits.rooms_per_connection
    permissions = permissions_for(settings, rules)
    new_rooms = NewRooms(settings.access.new_rooms_per_user)
    memberships = Memberships(
        parts.hub, parts.tracker, parts.histories, new_rooms, rooms_max, permissions, parts.moderated
    )
    return Chat(
        ChatParts(
            sessions=parts.sessions, hub=parts.hub, publisher=parts.publisher, tracker=parts.tracker,
            histories=parts.histories, memberships=memberships, permissions=permissions, identities=identities,
            talk=_talk_parts(settings, rules, parts), sizes=settings.limits, admission=admission,
            limits=ConnectionLimits(settings.rates, rooms_max), limit_s=settings.redis.timeout_s * ANSWERED_WITHIN,
        )
    )  # fmt: skip


def _talk_parts(settings: Settings, rules: RoomRules, parts: WorkerParts) -> TalkParts:
    sent = None if settings.publish.wait_replicas else Sent(parts.store)
    judging = Judging(send_hook_for(settings), rules, sent, settings.send_hook.on_failure == "allow")
    marks = ReadMarks(parts.store, parts.kept)
    return TalkParts(parts.store, marks, settings.presence.notices_users_max, judging)
