"""The options of identity: whether clients must say who they are, whose tokens count, and where a token may stand.

Owns these options and which of them cannot stand together. Reads no file: `access/signing_keys.py` does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.option_types import Kind, NotAllowed, choice, option, seconds, short_text, text_of, whole

UNCHECKED = ("-",)
"""Issuers or audiences that are left unchecked on purpose."""
PLACES = "auth, header, cookie:NAME, query:NAME"


def words() -> Kind:
    """Texts divided by commas, each counted exactly as it stands; `-` alone is on purpose none."""

    def read(text: str) -> tuple[str, ...]:
        found = tuple(word.strip() for word in text.split(",") if word.strip())
        if "-" in found and len(found) > 1:
            raise NotAllowed("- says that it is not checked: write it alone")
        return found

    return Kind(read, "texts divided by commas, or - alone", "texts divided by commas, or `-`")


def token_places() -> Kind:
    """Where a token may stand beside CONNECT's data."""
    allowed = f"some of {PLACES}, divided by commas"

    def read(text: str) -> tuple[str, ...]:
        found = tuple(word.strip() for word in text.split(",") if word.strip())
        for word in found:
            if not re.fullmatch(r"auth|header|(cookie|query):[A-Za-z0-9_.-]{1,64}", word):
                raise NotAllowed(f"{word!r} is none of {PLACES}")
        return found

    return Kind(read, allowed, allowed)


def key_url() -> Kind:
    """A fixed address of keys: https, or http on this machine."""

    def read(text: str) -> str:
        if re.search(r"[\s{}<>\\]", text):
            raise NotAllowed("a fixed address: nothing in it is replaced")
        parts = urlsplit(text)
        if not parts.hostname or parts.username or parts.password or parts.fragment:
            raise ValueError(text)
        if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname)):
            return text
        raise NotAllowed("https, so that nobody can put other keys in between (http on 127.0.0.1 alone)")

    allowed = "an address such as https://idp.example.org/jwks.json"
    return Kind(read, allowed, "an https address", lambda text: text.partition("?")[0].rpartition("@")[2])


def hook_url() -> Kind:
    """A fixed address of the application, which may be in a private network without TLS."""

    def read(text: str) -> str:
        parts = urlsplit(text)
        if re.search(r"[\s{}<>\\]", text) or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(text)
        if parts.username or parts.password or parts.fragment:
            raise ValueError(text)
        return text

    allowed = "an address such as https://app.example.org/chat/who"
    return Kind(
        read, allowed, "an http or https address", lambda text: text.partition("?")[0].rpartition("@")[2]
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityOptions:
    """Who clients are: tokens, and the keys that verify them."""

    auth: str = option("GATEWAY_AUTH", "off", choice("off", "optional", "required"),
        "Whether clients say who they are by a token. `optional`: who has none is a guest. `required`: who has none is "
        "refused. Set `optional` first on a gateway that has clients: docs/identity.md.")
    secrets_file: str | None = option("GATEWAY_TOKEN_SECRETS_FILE", None, text_of("a file"),
        "The secrets of HS256 tokens, a line `name:base64` each, of at least 32 bytes. All verify; `gateway token new` "
        "signs by the first. Set it when your application makes the tokens.")
    keys_file: str | None = option("GATEWAY_TOKEN_KEYS_FILE", None, text_of("a file"),
        "The public keys of RS256, ES256 or EdDSA tokens: PEM blocks, or a JWKS in JSON. Set it when whoever signs "
        "should be the only one who can.")
    jwks_url: str | None = option("GATEWAY_JWKS_URL", None, key_url(),
        "The address at which an identity provider publishes its keys. Needs `GATEWAY_TOKEN_ISSUERS` and "
        "`GATEWAY_TOKEN_AUDIENCES`.")
    issuers: tuple[str, ...] = option("GATEWAY_TOKEN_ISSUERS", (), words(),
        "Whose tokens count: the claim `iss` must be one of these. Set it wherever the tokens have one.")
    audiences: tuple[str, ...] = option("GATEWAY_TOKEN_AUDIENCES", (), words(),
        "For whom tokens are made: the claim `aud` must have one of these. Unset, a token with `aud` is meant for "
        "somebody else and is refused; `-` takes any.")
    token_from: tuple[str, ...] = option("GATEWAY_TOKEN_FROM", ("auth",), token_places(),
        "Where a token may stand. `auth`, the data of CONNECT, always counts. Add `header` (`Authorization: Bearer`), "
        "`cookie:NAME` or `query:NAME` for clients that cannot send it there.")
    name_claim: str = option("GATEWAY_TOKEN_NAME_CLAIM", "name", short_text(64),
        "The claim with a user's display name. Set it to what your identity provider calls it.")
    age_max_s: int = option("GATEWAY_TOKEN_AGE_MAX_S", 86_400, whole(1, 366 * 86_400, "s"),
        "The longest life of a token, from `iat` to `exp`. Keep it short: it is also how long a stolen one works.")
    leeway_s: float = option("GATEWAY_TOKEN_LEEWAY_S", 10.0, seconds(0, 300),
        "By how much clocks may differ. Raise it when fresh tokens are refused as `not_yet`; better, set the clocks.")
    grace_s: float = option("GATEWAY_TOKEN_GRACE_S", 25.0, seconds(0, 3600),
        "How long after its token's end a connection stays. Raise it when clients are slow to get a new token.")
    jwks_refresh_s: float = option("GATEWAY_JWKS_REFRESH_S", 600.0, seconds(1, 86_400),
        "How often the keys at `GATEWAY_JWKS_URL` are read anew. A key that was withdrawn there counts so long.")
    jwks_cooldown_s: float = option("GATEWAY_JWKS_COOLDOWN_S", 30.0, seconds(0.1, 3600),
        "The least time between two such reads, however many tokens name an unknown key. Keep it.")
    jwks_stale_s: float = option("GATEWAY_JWKS_STALE_S", 86_400.0, seconds(1, 30 * 86_400),
        "How long the last keys count while the address does not answer. Lower it to be stricter in an outage.")
    connect_hook: str | None = option("GATEWAY_CONNECT_HOOK", None, hook_url(),
        "An address of your application that says who a client is, instead of keys: for session cookies and opaque "
        "tokens. It is asked at every CONNECT.")
    connect_hook_secrets_file: str | None = option("GATEWAY_CONNECT_HOOK_SECRETS_FILE", None, text_of("a file"),
        "The secrets that sign what the hook is asked, a line `name:base64` each. Set it where others reach the hook.")
    connect_hook_timeout_s: float = option("GATEWAY_CONNECT_HOOK_TIMEOUT_S", 1.0, seconds(0.05, 10),
        "How long the hook may take. Raise it when your application is slow; a client waits so long.")
# fmt: on


def identity_contradictions(
    identity: IdentityOptions, origins: tuple[str, ...], has_redis: bool
) -> Iterator[tuple[bool, str]]:
    """Options that cannot both hold: whether it is so, and the sentence."""
    keys = [identity.secrets_file, identity.keys_file, identity.jwks_url, identity.connect_hook]
    is_on = identity.auth != "off"
    yield (
        is_on and has_redis and not any(keys),
        f"GATEWAY_AUTH={identity.auth} needs keys: set GATEWAY_TOKEN_SECRETS_FILE, GATEWAY_TOKEN_KEYS_FILE, "
        "GATEWAY_JWKS_URL or GATEWAY_CONNECT_HOOK",
    )
    yield (
        sum(map(bool, keys)) > 1,
        "GATEWAY_TOKEN_SECRETS_FILE, GATEWAY_TOKEN_KEYS_FILE, GATEWAY_JWKS_URL and GATEWAY_CONNECT_HOOK must not be "
        "set together: who has a key of one could sign in the name of the other",
    )
    yield (
        identity.jwks_url is not None and not (identity.issuers and identity.audiences),
        "GATEWAY_JWKS_URL needs GATEWAY_TOKEN_ISSUERS and GATEWAY_TOKEN_AUDIENCES: an identity provider signs for many "
        "(- leaves one unchecked on purpose)",
    )
    yield (
        "*" in origins and any(place.startswith("cookie:") for place in identity.token_from),
        "GATEWAY_TOKEN_FROM=cookie:… needs GATEWAY_ORIGINS to name its pages, or any page could connect "
        "as its visitor",
    )
    yield (
        identity.jwks_stale_s < identity.jwks_refresh_s,
        "GATEWAY_JWKS_STALE_S must not be below GATEWAY_JWKS_REFRESH_S: keys would end before they are read anew",
    )
    yield (
        identity.jwks_refresh_s < identity.jwks_cooldown_s,
        "GATEWAY_JWKS_REFRESH_S must not be below GATEWAY_JWKS_COOLDOWN_S",
    )


def is_configured(identity: Any) -> bool:
    """Whether keys are named, or a hook."""
    return bool(identity.secrets_file or identity.keys_file or identity.jwks_url or identity.connect_hook)
