"""How webhooks are shown by `gateway check`: neither their secrets nor what may be secret of their URLs; and what they
will never be told, which is a warning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from gateway.access.room_rules import COUNT, RoomRules
from gateway.webhooks.webhook import MEMBER_EVENTS, Webhook


def webhook_lines(hooks: Sequence[Webhook]) -> Iterator[tuple[str, str]]:
    """Lines (heading, text) about all webhooks."""
    for hook in hooks:
        parts = urlsplit(hook.url)
        shown = f"{parts.scheme}://{parts.netloc}/" + ("…" if parts.path.strip("/") or parts.query else "")
        rooms = "every room" if hook.rooms == ("**",) else ", ".join(hook.rooms)
        secrets = "" if len(hook.secrets) == 1 else f", signed with {len(hook.secrets)} secrets"
        yield "webhook", f"{hook.name} is told {', '.join(hook.events)} of {rooms} at {shown}{secrets}"


def never_told(hooks: Sequence[Webhook], rules: RoomRules) -> Iterator[str]:
    """A sentence for each webhook that waits for members who are only counted."""
    for hook in hooks:
        if MEMBER_EVENTS not in hook.events:
            continue
        found = [rule for pattern in hook.rooms for rule in rules.deciding(pattern) if rule.members == COUNT]
        for rule in dict.fromkeys(found):
            yield (
                f"webhook {hook.name} never gets joined and left of rooms that match {rule.match!r} "
                f"(line {rule.line}): their members are only counted"
            )
