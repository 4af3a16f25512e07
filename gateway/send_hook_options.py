"""The options of the hook that is asked before a message is stored. A group as those in `option_groups.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.identity_options import hook_url
from gateway.option_types import choice, option, text_of


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class SendHookOptions:
    """Messages that the application sees before they are stored."""

    url: str | None = option("GATEWAY_SEND_HOOK", None, hook_url(),
        "What is asked before each message in rooms whose rule has a `moderation`: by a POST ([rooms.md](rooms.md)). "
        "Set it when a filter of your own must see messages first.")
    secret_file: str | None = option("GATEWAY_SEND_HOOK_SECRET_FILE", None, text_of("a path"),
        "A file with the secret that signs these questions: base64 of at least 24 bytes. Set it when others than the "
        "gateway can reach that URL.")
    on_failure: str = option("GATEWAY_SEND_HOOK_ON_FAILURE", "refuse", choice("refuse", "allow"),
        "What becomes of a message while the hook does not answer: it is refused as `unavailable`, and the client may "
        "try again; or it is stored as it is. Choose `allow` where being silent is worse than an unseen message.")
# fmt: on


def send_hook_contradictions(options: SendHookOptions) -> Iterator[tuple[bool, str]]:
    """Options that cannot both hold: whether it is so, and the sentence."""
    yield (
        options.secret_file is not None and options.url is None,
        "GATEWAY_SEND_HOOK_SECRET_FILE needs a GATEWAY_SEND_HOOK",
    )
    yield (
        options.on_failure != "refuse" and options.url is None,
        f"GATEWAY_SEND_HOOK_ON_FAILURE={options.on_failure} needs a GATEWAY_SEND_HOOK",
    )
