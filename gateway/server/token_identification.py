"""What decides who a client is where tokens count, made from the options."""

from __future__ import annotations

from dataclasses import replace

from gateway.access.connect_hook import ConnectHook
from gateway.access.credentials import Credentials
from gateway.access.identifier import TokenIdentifier
from gateway.access.identity import FindToken, Identifier
from gateway.access.jwks import JwksKeys
from gateway.access.key_files import FileKeys, read_hook_secrets
from gateway.access.tokens import TokenRules
from gateway.access.verifying_keys import KeySource
from gateway.background import Background
from gateway.identity_options import UNCHECKED, IdentityOptions, is_configured
from gateway.interfaces import CommandStore
from gateway.server.development_secret import development_secret
from gateway.server.embedded_folder import state_folder
from gateway.settings import Settings
from gateway.state.shared_keys import SharedKeys


def keys_of(settings: Settings, store: CommandStore, background: Background) -> KeySource:
    """The keys of a file, or of an identity provider."""
    options = settings.identity
    if options.jwks_url:
        return JwksKeys(options, SharedKeys(store, options.jwks_url, options.jwks_stale_s), background)
    return FileKeys(with_keys(settings))


def identifier_of(settings: Settings, keys: KeySource) -> Identifier:
    """Who decides by a token."""
    rules = rules_of(settings.identity, settings.limits.username_max)
    return TokenIdentifier(keys, rules, is_required=settings.identity.auth == "required")


def hook_of(settings: Settings) -> ConnectHook:
    """The application, which is asked instead."""
    options, rules = settings.identity, rules_of(settings.identity, settings.limits.username_max)
    signing = read_hook_secrets(options)
    is_required, url = options.auth == "required", options.connect_hook or ""
    own = replace(rules, issuers=(), audiences=None)
    return ConnectHook(url, options.connect_hook_timeout_s, own, is_required, signing)


def find_token_of(settings: Settings) -> FindToken:
    """Where a client's token is."""
    return Credentials(settings.identity.token_from).find


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
