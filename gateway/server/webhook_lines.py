"""How webhooks are shown by `gateway check`: neither their secrets nor what may be secret of their URLs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from gateway.webhooks.webhook import Webhook


def webhook_lines(hooks: Sequence[Webhook]) -> Iterator[tuple[str, str]]:
    """Lines (heading, text) about all webhooks."""
    for hook in hooks:
        parts = urlsplit(hook.url)
        shown = f"{parts.scheme}://{parts.netloc}/" + ("…" if parts.path.strip("/") or parts.query else "")
        rooms = "every room" if hook.rooms == ("**",) else ", ".join(hook.rooms)
        secrets = "" if len(hook.secrets) == 1 else f", signed with {len(hook.secrets)} secrets"
        yield "webhook", f"{hook.name} is told {', '.join(hook.events)} of {rooms} at {shown}{secrets}"
