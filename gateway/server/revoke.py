"""`gateway revoke`, `ban`, `unban` and `bans`: who is refused, said by hand.

Owns the words of these commands. What they write, workers follow (`chat/revoking.py`). Redis is reached by the
gateway's own connections, an embedded one by its state folder. Each command is all or nothing, and ends within seconds.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import click

from gateway import keys
from gateway.errors import StoreError
from gateway.redis.address import is_cluster
from gateway.redis.sentinel import SentinelFinder
from gateway.rooms.routes import route_for
from gateway.server import logs
from gateway.server.asking import refuse_trouble, url_of
from gateway.server.check_connections import NAME, WAIT_S
from gateway.server.connections import connections
from gateway.server.findings import Wrong
from gateway.server.typed import Misused, seconds_of
from gateway.settings import Settings
from gateway.state import revocations
from gateway.state.revocations import BAN, NETWORK, NEVER_S, Change, RevocationStore
from gateway.transport.proxies import network_of

TEXT_MAX = 128
"""Longest `sub` and `jti`, in characters (the contract of identity, docs/identity.md)."""

WIDEST = {4: 8, 6: 16}
"""The shortest prefix of a network that may be banned, by version: a wider one is most likely a slip of the hand."""

TOLD = "Workers end its sessions at once, and one that does not hear of it with its next heartbeat."


def revoke(settings: Settings, user: str | None, before: str | None, token_id: str | None) -> int:
    """Revokes a user's tokens, or one token. Returns the exit status."""
    if (user is None) == (token_id is None):
        raise Misused("Say whose tokens by --user, or which one by --jti.")
    now_s = time.time()
    if user is not None:
        at_s = _moment(before, now_s)
        change = revocations.tokens_until(_text("--user", user), at_s, _life_s(settings))
        said = f"The tokens of user {user} that were issued until {_shown(at_s)} are revoked. {TOLD}"
    else:
        if before is not None:
            raise Misused("--before goes with --user.")
        change = revocations.token(_text("--jti", token_id), now_s + _life_s(settings))
        said = f"Token {token_id} is revoked. {TOLD}"
    return _run(settings, lambda store: _change(store, change, said, now_s))


def ban(settings: Settings, user: str | None, network: str | None, lasting: str | None) -> int:
    """Bans a user or a network. Returns the exit status."""
    field, who = _whom(user, network)
    now_s = time.time()
    end_s = NEVER_S if lasting is None else now_s + _seconds(lasting)
    until = "for good" if lasting is None else f"until {_shown(end_s)}"
    change = Change(field, revocations.until(end_s))
    return _run(settings, lambda store: _change(store, change, f"{who} is banned {until}. {TOLD}", now_s))


def unban(settings: Settings, user: str | None, network: str | None) -> int:
    """Takes a ban back. Returns the exit status."""
    field, who = _whom(user, network)

    async def take_back(store: RevocationStore) -> None:
        if not (await store.change([Change(field)], time.time())).known:
            raise Wrong(f"{who} is not banned.")
        click.echo(f"{who} is not banned any more.")

    return _run(settings, take_back)


def bans(settings: Settings) -> int:
    """Lists everything that counts now. Returns the exit status."""
    return _run(settings, _list)


async def _change(store: RevocationStore, change: Change, said: str, now_s: float) -> None:
    await store.change([change], now_s)
    click.echo(said)


async def _list(store: RevocationStore) -> None:
    found = [pair async for piece in store.pieces() for pair in piece]
    lines = sorted(line for field, value in found if (line := _line(field, value, time.time())))
    click.echo("\n".join(lines) if lines else "Nobody is banned, and no token is revoked.")


def _line(field: bytes, value: bytes, now_s: float) -> str | None:
    """An entry in words; None for one that has ended."""
    kind, colon, name = field.decode(errors="replace").partition(":")
    try:
        *_, end_s = numbers = [float(word) for word in value.split()]
    except ValueError:
        return f"unreadable     {field!r}: {value!r}"
    if NEVER_S < end_s <= now_s:
        return None
    name = name if name.isprintable() else repr(name)
    until = "for good" if end_s <= NEVER_S else f"until {_shown(end_s)}"
    match kind + colon:
        case "user:" if len(numbers) == 2:
            return f"revoked        tokens of user {name} issued until {_shown(numbers[0])}"
        case "jti:":
            return f"revoked        token {name}"
        case "ban:":
            return f"banned         user {name} {until}"
        case "ip:":
            return f"banned         {name} {until}"
    return f"unreadable     {field!r}: {value!r}"


def _life_s(settings: Settings) -> float:
    """How long a token may count at most, from when it was issued: so long a revocation is kept."""
    identity = settings.identity
    return identity.age_max_s + identity.leeway_s + identity.grace_s


# -- what was typed


def _whom(user: str | None, network: str | None) -> tuple[str, str]:
    """The field of a ban, and whom it is about in words. Raises Misused."""
    if (user is None) == (network is None):
        raise Misused("Say whom: a user by --user, or a network by --ip.")
    if user is not None:
        return BAN + _text("--user", user), f"User {user}"
    try:
        found = network_of(network or "")
    except ValueError:
        raise Misused(f"--ip is no address and no network such as 203.0.113.0/24: {network!r}.") from None
    if found.prefixlen < WIDEST[found.version]:
        raise Misused(
            f"--ip {network} is too wide: /{WIDEST[found.version]} is the widest of IPv{found.version}."
        )
    is_one = found.prefixlen == found.max_prefixlen
    return NETWORK + str(
        found
    ), f"{'Address' if is_one else 'Network'} {found.network_address if is_one else found}"


def _text(flag: str, text: str | None) -> str:
    if not text or len(text) > TEXT_MAX:
        raise Misused(f"{flag} must have 1 to {TEXT_MAX} characters.")
    return text


def _seconds(text: str) -> float:
    if not (found_s := seconds_of(text)):
        raise Misused(f"--for is not a time such as 90s, 10m, 2h or 7d: {text!r}.")
    return float(found_s)


def _moment(text: str | None, now_s: float) -> float:
    """A time that is over, in seconds since 1970. Raises Misused."""
    if text is None or text == "now":
        return now_s
    try:
        if re.fullmatch(r"\d{1,12}(\.\d+)?", text):
            at_s = float(text)
        else:
            at = datetime.fromisoformat(text)
            at_s = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Misused(f"--before is not a time such as 2026-11-26T18:00Z: {text!r}.") from None
    if at_s > now_s:
        raise Misused("--before is still to come. To keep a user out, ban it.")
    return at_s


def _shown(at_s: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at_s:.0f} s after 1970"


# -- Redis


def _run(settings: Settings, what: Callable[[RevocationStore], Awaitable[None]]) -> int:
    """Does it, and returns 0; or 1 after one sentence on standard error."""
    logs.configure(replace(settings.log, level="error"))  # what is wrong is said by the sentence
    keys.use_prefix(settings.redis.prefix, settings.redis.is_prefix_historys_too)

    async def do() -> None:
        async with _store(settings) as store:
            await what(store)

    try:
        asyncio.run(do())
    except (Wrong, StoreError) as wrong:
        click.echo(f"Error: {str(wrong).rstrip('.')}.", err=True)
        return 1
    return 0


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[RevocationStore]:
    """The store of this gateway, connected. Raises Wrong."""
    url = url_of(settings)
    redis = connections(url, NAME, route_for(settings.redis.route, is_cluster(url)), settings)
    try:
        await redis.store.start(WAIT_S)
        refuse_trouble(redis.store)
        yield RevocationStore(redis.store)
    finally:
        await redis.store.close()
        if isinstance(redis.finder, SentinelFinder):
            await redis.finder.close()
