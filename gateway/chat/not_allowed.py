"""What a client is told that moderators do not let in, or do not let speak."""

from __future__ import annotations

from gateway.errors import Moderated
from gateway.protocol import Refusal

SENTENCES = {
    "muted": "You may not speak in this room now.",
    "kicked": "You were taken out of this room, and may not come back yet.",
    "closed": "This room is closed.",
}


def not_allowed(refused: Moderated, operation: str) -> Refusal:
    """`forbidden`, with the reason and until when (ms since 1970)."""
    about = {"operation": operation, "reason": refused.reason, "until": refused.until_ms}
    return Refusal("forbidden", SENTENCES.get(refused.reason), **about)
