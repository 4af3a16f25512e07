"""What `GATEWAY_AUTH` and the options around it make of a worker: who decides who a client is, and by which keys."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.access.credentials import Credentials
from gateway.access.identifier import TokenIdentifier
from gateway.access.identity import FindToken, Identifier, Open, nowhere
from gateway.access.jwks import JwksKeys
from gateway.access.key_files import FileKeys
from gateway.access.tokens import TokenRules
from gateway.access.verifying_keys import KeySource
from gateway.background import Background
from gateway.identity_options import UNCHECKED, IdentityOptions, is_configured
from gateway.interfaces import CommandStore
from gateway.server.development_secret import development_secret
from gateway.server.embedded_folder import state_folder
from gateway.settings import Settings
from gateway.state.shared_keys import SharedKeys


@dataclass(frozen=True, slots=True)
class Identification:
    """Who decides who a client is, where its token stands, and the keys: None where tokens do not count."""

    identifier: Identifier
    find_token: FindToken
    keys: KeySource | None


def identification_of(settings: Settings, store: CommandStore, background: Background) -> Identification:
    """What these options ask for. The keys are the caller's to start and to keep."""
    options = settings.identity
    if options.auth == "off":
        return Identification(Open(), nowhere, None)
    keys: KeySource
    if options.jwks_url:
        keys = JwksKeys(options, SharedKeys(store, options.jwks_url, options.jwks_stale_s), background)
    else:
        keys = FileKeys(with_keys(settings))
    rules = rules_of(options, settings.limits.username_max)
    identifier = TokenIdentifier(keys, rules, is_required=options.auth == "required")
    return Identification(identifier, Credentials(options.token_from).find, keys)


def rules_of(options: IdentityOptions, name_max: int) -> TokenRules:
    """Whose tokens count, and for how long."""
    return TokenRules(
        issuers=() if options.issuers == UNCHECKED else options.issuers,
        audiences=None if options.audiences == UNCHECKED else options.audiences,
        name_claim=options.name_claim,
        name_max=name_max,
        age_max_s=options.age_max_s,
        leeway_s=options.leeway_s,
    )


def with_keys(settings: Settings) -> IdentityOptions:
    """The options, with the development secret where no keys are named and rooms are in the embedded Valkey."""
    options = settings.identity
    if is_configured(options) or settings.redis.url is not None:
        return options
    return replace(options, secrets_file=str(development_secret(state_folder(settings.embedded.state_dir))))
