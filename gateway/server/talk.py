"""What the chat needs beside messages, made of the options."""

from __future__ import annotations

from gateway.access.room_keeping import KeptByRule
from gateway.access.room_rules import RoomRules
from gateway.chat.judging import Judging
from gateway.chat.talking import TalkParts
from gateway.interfaces import CommandStore
from gateway.server.rules import send_hook_for
from gateway.settings import Settings
from gateway.state.read_marks import ReadMarks
from gateway.state.sent import Sent


def talk_parts(settings: Settings, store: CommandStore, kept: KeptByRule, rules: RoomRules) -> TalkParts:
    """The parts. Raises SettingsError where a secret cannot be read."""
    sent = None if settings.publish.wait_replicas else Sent(store)
    judging = Judging(send_hook_for(settings), rules, sent, settings.send_hook.on_failure == "allow")
    return TalkParts(store, ReadMarks(store, kept), settings.presence.notices_users_max, judging)
