"""Words to all workers, who hears which of them, and what moderators say by them: put together for one worker."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.chat.control import REVOKED, Control
from gateway.chat.disconnecting import Disconnecting
from gateway.chat.handlers import Chat
from gateway.chat.moderating import Moderating
from gateway.chat.moderation import WORD, Moderation
from gateway.chat.moderation_follower import LOOK_S, ModerationFollower
from gateway.chat.revoking import Revoking
from gateway.chat.user_signals import UserSignals
from gateway.server.worker_parts import WorkerParts
from gateway.state.moderation import ModerationStore


@dataclass(frozen=True, slots=True)
class Words:
    """What says words and what hears them: `control` the channel, `moderation` the operations, `follower` what is
    decided about this worker's rooms."""

    control: Control
    moderation: Moderation
    follower: ModerationFollower


def words_of(parts: WorkerParts, chat: Chat, revoking: Revoking, look_s: float = LOOK_S) -> Words:
    """The words of one worker, which looks every `look_s` for those that it has not heard. Its chat handles what
    moderators say from now on."""
    sessions, store = parts.sessions, parts.store
    follower = ModerationFollower(
        ModerationStore(store), parts.moderated, parts.hub, sessions, chat.memberships, look_s
    )
    hear = {
        REVOKED: revoking.on_word,
        "disconnect": Disconnecting(sessions).on_word,
        "signal": UserSignals(sessions).on_word,
        WORD: follower.on_word,
    }
    control = Control(store, hear)
    moderation = Moderation(store, control, parts.publisher)
    Moderating(moderation, chat, chat.permissions.rules).serve()
    return Words(control, moderation, follower)
