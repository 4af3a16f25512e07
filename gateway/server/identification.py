"""What `GATEWAY_AUTH` and the options around it make of a worker: who decides who a client is, and by which keys.

Imports what verifies tokens only where tokens count: a worker that looks at none is not larger for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.identity import FindToken, Identifier, Open, nowhere
from gateway.access.verifying_keys import IdentityPart
from gateway.background import Background
from gateway.interfaces import CommandStore
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Identification:
    """Who decides who a client is, where its token stands, and what that depends on: None where tokens do not count."""

    identifier: Identifier
    find_token: FindToken
    part: IdentityPart | None


def identification_of(settings: Settings, store: CommandStore, background: Background) -> Identification:
    """What these options ask for. Its part is the caller's to start and to keep."""
    if settings.identity.auth == "off":
        return Identification(Open(), nowhere, None)
    from gateway.server import token_identification as by_tokens

    if settings.identity.connect_hook:
        hook = by_tokens.hook_of(settings)
        return Identification(hook, by_tokens.find_token_of(settings), hook)
    keys = by_tokens.keys_of(settings, store, background)
    return Identification(by_tokens.identifier_of(settings, keys), by_tokens.find_token_of(settings), keys)
