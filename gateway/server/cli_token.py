"""`gateway token new` and `gateway token show`: tokens made and read by hand.

Owns the words of these commands. `new` signs with the first secret, as an application would; `show` judges as a worker
does, and says the cause, which a client is never told.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from typing import Any

import click
import jwt
import orjson

from gateway.access.fetching import FetchFailed, fetch
from gateway.access.identity import Identity, NotAdmitted
from gateway.access.key_files import read_keys
from gateway.access.rights import OPERATIONS
from gateway.access.signing_keys import KeysError, keys_of_jwks
from gateway.access.tokens import header_of, identity_of, verify
from gateway.access.verifying_keys import KeySet, VerifyingKey
from gateway.identity_options import UNCHECKED, is_configured
from gateway.option_types import SettingsError
from gateway.server.cli_group import Suggesting
from gateway.server.embedded_folder import EmbeddedError
from gateway.server.token_identification import rules_of, with_keys
from gateway.server.typed import seconds_of
from gateway.settings import Settings

GRANTED = (*OPERATIONS, "*")
"""What a grant may name; another word grants nothing."""

CAUSES = {
    "too_large": "it is longer than 8 KiB",
    "not_a_token": "it is not three parts of base64 with points in between, the first of them JSON",
    "header": "its header names no algorithm, or a `kid` that is no text of at most 128 characters",
    "crit": "its header asks for an extension (`crit`, `b64`), and the gateway knows none",
    "unknown_key": "its `kid` is the name of none of the keys",
    "algorithm": "its `alg` is not the algorithm of the key that it names",
    "signature": "none of the keys has signed it, or it was changed afterwards",
    "claims": "what it carries is no JSON object",
    "exp": "`exp` is missing or is no number",
    "iat": "`iat` is no number",
    "nbf": "`nbf` is no number",
    "expired": "`exp` is over",
    "not_yet": "`iat` or `nbf` is still to come",
    "life": "it lives longer than GATEWAY_TOKEN_AGE_MAX_S, or ends before it begins",
    "iss": "`iss` is none of GATEWAY_TOKEN_ISSUERS",
    "aud": "`aud` has none of GATEWAY_TOKEN_AUDIENCES (unset: it must have no `aud`)",
    "sub": "`sub` is missing or is no text of 1 to 128 characters",
    "jti": "`jti` is no text of 1 to 128 characters",
    "name": "the display name is no text, too long, or has control characters",
    "rooms": '`rooms` is not an object such as {"lobby": ["join", "send"]}',
}
"""What is wrong with a token, by the cause in the log and in `gateway_auth_total`."""


class TokenError(click.ClickException):
    """What was asked for cannot be done; one sentence."""

    exit_code = 2


@click.group(cls=Suggesting, short_help="Makes a token (`new`), or says what one is worth (`show`).")
def token() -> None:
    """Makes a token by hand, or says what one is worth."""


@token.command(short_help="Signs a token with the first secret.")
@click.option(
    "--sub", "--user", "user", required=True, metavar="ID", help="The user's id in your application."
)
@click.option("--name", metavar="NAME", help="The display name; without it the client chooses one.")
@click.option("--rooms", metavar="JSON", help='Grants, such as \'{"interview:*": ["join", "send"]}\'.')
@click.option(
    "--room", "grants", multiple=True, metavar="ROOM=OPERATION,…", help="One grant; may be repeated."
)
@click.option(
    "--ttl", default="1h", show_default=True, metavar="TIME", help="How long it lives: 90s, 10m, 2h, 1d."
)
def new(user: str, name: str | None, rooms: str | None, grants: tuple[str, ...], ttl: str) -> None:
    """Prints a token, signed with the first secret of GATEWAY_TOKEN_SECRETS_FILE, or with the development secret.

    \b
    gateway token new --sub ada --name Ada
    gateway token new --sub ada --ttl 10m --room 'class:*=join,send'
    """
    settings = _settings()
    options, now_s = settings.identity, int(time.time())
    claims: dict[str, Any] = {
        "sub": user,
        "iat": now_s,
        "exp": now_s + _seconds(ttl),
        "jti": secrets.token_hex(8),
    }
    claims |= {options.name_claim: name} if name is not None else {}
    claims |= {"rooms": found} if (found := _grants(rooms, grants)) else {}
    claims |= _first("iss", options.issuers) | _first("aud", options.audiences)
    try:
        identity_of(claims, rules_of(options, settings.limits.username_max), now_s)
    except NotAdmitted as refused:
        raise TokenError(
            f"This token would be refused: {CAUSES.get(refused.cause, refused.cause)}."
        ) from None
    key = _secrets(settings).keys[0]
    click.echo(jwt.encode(claims, key.material, algorithm=key.algorithm, headers={"kid": key.kid}))


@token.command(short_help="Says what a token says, and whether it counts here.")
@click.argument("text", metavar="TOKEN")
def show(text: str) -> None:
    """Says what a token says, whether it counts here, and why not. `-` reads it from standard input.

    Exit status 1 when it would be refused. Whether it was revoked is not looked at.

    \b
    gateway token show "$TOKEN"
    gateway token new --sub ada | gateway token show -
    """
    settings, text = _settings(), (sys.stdin.read() if text == "-" else text).strip()
    try:
        header_of(text)
        _tell_parts(text)
        identity, key = verified(settings, text)
    except NotAdmitted as refused:
        why = CAUSES.get(refused.cause, refused.cause)
        click.echo(f"refused  {refused.reason.value} ({refused.cause}): {why}")
        sys.exit(1)
    click.echo(f"key      {key.kid or 'without a name'} ({key.algorithm})")
    _tell_identity(identity)


def verified(settings: Settings, text: str) -> tuple[Identity, VerifyingKey]:
    """Who a token says somebody is here, and the key that says so. Raises NotAdmitted, or TokenError without keys."""
    header = header_of(text)
    rules = rules_of(settings.identity, settings.limits.username_max)
    return verify(text, header, _keys(settings), rules, time.time())


def _tell_parts(text: str) -> None:
    """What stands in a token, whoever signed it."""
    try:
        found = jwt.decode_complete(text, options={"verify_signature": False})
    except jwt.PyJWTError:
        return  # the verdict says it
    for heading, part in (("header", "header"), ("claims", "payload")):
        click.echo(f"{heading:<8} {json.dumps(found[part])}")


def _tell_identity(identity: Identity) -> None:
    assert identity.expires_at_s is not None
    name = "chooses a name" if identity.name is None else f"is named {identity.name!r}"
    left_s = round(identity.expires_at_s - time.time())
    click.echo(f"counts   user {identity.user!r}, {name}, for {left_s} s from now")
    for pattern, operations in identity.grants.items():
        click.echo(f"grants   {pattern}: {', '.join(sorted(operations))}")
    if unknown := sorted({each for found in identity.grants.values() for each in found} - set(GRANTED)):
        click.echo(f"note     these grant nothing: {', '.join(unknown)} (known: {', '.join(GRANTED)})")


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except SettingsError as error:
        raise TokenError(str(error)) from None


def _secrets(settings: Settings) -> KeySet:
    """What to sign with; raises TokenError."""
    if not settings.identity.secrets_file and (is_configured(settings.identity) or settings.redis.url):
        raise TokenError("There is no secret to sign with: set GATEWAY_TOKEN_SECRETS_FILE.")
    return _keys(settings)


def _keys(settings: Settings) -> KeySet:
    """What tokens are verified by; raises TokenError."""
    options = settings.identity
    if options.connect_hook:
        raise TokenError("GATEWAY_CONNECT_HOOK is set: your application decides, and no key.")
    try:
        if options.jwks_url:
            return KeySet(keys_of_jwks(asyncio.run(fetch(options.jwks_url)))[0])
        return read_keys(with_keys(settings))
    except (FetchFailed, KeysError, EmbeddedError) as error:
        raise TokenError(str(error)) from None


def _grants(rooms: str | None, single: tuple[str, ...]) -> dict[str, list[str]]:
    """The claim `rooms`."""
    try:
        found = orjson.loads(rooms) if rooms else {}
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise TokenError(f"--rooms {CAUSES['rooms'].removeprefix('`rooms` ')}.")
    for each in single:
        room, equals, operations = each.rpartition("=")
        if not (room and equals and operations):
            raise TokenError(f"--room is not ROOM=OPERATION,…: {each!r}.")
        found[room] = operations.split(",")
    return found


def _seconds(ttl: str) -> int:
    if (found_s := seconds_of(ttl)) is None:
        raise TokenError(f"--ttl is not a time such as 90s, 10m, 2h or 1d: {ttl!r}.")
    return found_s


def _first(claim: str, allowed: tuple[str, ...]) -> dict[str, str]:
    return {} if not allowed or allowed == UNCHECKED else {claim: allowed[0]}
