"""What `gateway check` says of identity: whether tokens count, and by which keys.

The files are judged as at the start (`preflight.py`). An identity provider that does not answer is a warning: workers
may have its keys from Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.access.fetching import FetchFailed, fetch
from gateway.access.key_files import read_keys
from gateway.access.signing_keys import KeysError, keys_of_jwks
from gateway.identity_options import IdentityOptions, is_configured
from gateway.server.preflight import warnings_of
from gateway.settings import Settings


def identity_lines(settings: Settings) -> Iterator[tuple[str, str]]:
    """Lines (heading, text). Raises SettingsError for keys with which no worker could serve."""
    options = settings.identity
    if options.auth == "off":
        yield "identity", "GATEWAY_AUTH=off: everybody may claim any name"
        return
    guests = (
        "without one a client is a guest" if options.auth == "optional" else "without one nobody is let in"
    )
    yield "identity", f"tokens count, {guests}"
    warnings = list(warnings_of(settings))
    if options.connect_hook:
        yield "hook", f"who has a token is asked of {options.connect_hook.partition('?')[0]}"
    elif options.jwks_url:
        yield _published(options.jwks_url)
    elif is_configured(options):
        yield _in_a_file(options)
    else:
        yield "keys", "a development secret, in the state folder of the embedded Valkey"
    for warning in warnings:
        yield "warning", warning
    if not options.issuers and options.keys_file:
        yield (
            "warning",
            "GATEWAY_TOKEN_ISSUERS is not set: whatever these keys sign counts, for whomever it is meant.",
        )


def _in_a_file(options: IdentityOptions) -> tuple[str, str]:
    keys = read_keys(options)
    names = ", ".join(key.kid or f"one without a name ({key.algorithm})" for key in keys.keys)
    return "keys", f"{len(keys)} in {options.secrets_file or options.keys_file}: {names}"


def _published(url: str) -> tuple[str, str]:
    shown = url.partition("?")[0]
    try:
        keys, skipped = keys_of_jwks(asyncio.run(fetch(url)))
    except (FetchFailed, KeysError) as error:
        return "warning", f"The keys at {shown} cannot be read now: {error}."
    told = f"{len(keys)} at {shown}: {', '.join(key.kid or 'one without a name' for key in keys)}"
    return "keys", f"{told}; not taken: {'; '.join(skipped)}" if skipped else told
