"""`gateway explain`: why somebody may do something in a room, or may not; and how `gateway check` shows the rules.

Owns the form of both, for a terminal of 80 columns. Decides nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from gateway.access.explanation import explain
from gateway.access.identity import GUEST, Identity, NotAdmitted
from gateway.access.room_rules import GRANTED, IN_THE_ROOM, LIST, USERS, RoomRule, RoomRules
from gateway.names import normal_form
from gateway.option_types import SettingsError
from gateway.server.cli_token import CAUSES, TokenError, verified
from gateway.server.rules import configured
from gateway.settings import Settings

WIDTH = 78
HEADING = 10
RULES_SHOWN = 30
"""So many rules `gateway check` shows; of more it says how many."""


def tell(settings: Settings, room: str, identity: Identity, note: str = "") -> None:
    """Prints the decision about a room, and what else must be known. Raises SettingsError."""
    rules, room = configured(settings).rules, normal_form(room)
    rule = rules.rule(room)
    click.echo(_line("room", room))
    click.echo(_line("who", _who(identity)))
    if note:
        click.echo(_line("note", note))
    click.echo(_line("rule", _where(rules, rule)))
    click.echo()
    for reason in explain(rule, identity, room):
        click.echo(_line(reason.operation, f"{reason.verdict:<5}{reason.why}", 5))


def _who(identity: Identity) -> str:
    if identity.is_guest:
        return "a guest (no token)"
    grants = [
        f"{pattern}: {', '.join(sorted(words)) or 'nothing'}" for pattern, words in identity.grants.items()
    ]
    return f"user {identity.user!r}, granted " + ("; ".join(grants) or "nothing")


def _where(rules: RoomRules, rule: RoomRule | None) -> str:
    if rule is None:
        return f"none of {rules.path} matches, so nobody may do anything"
    if not rules.path:
        return f"there is no [[room]] (GATEWAY_CONFIG): join = {rule.join!r} for every room"
    return f'line {rule.line} of {rules.path}: match "{rule.match}", {in_words(rule)}'


def in_words(rule: RoomRule) -> str:
    """What a rule says, without what goes without saying."""
    said = [f"join {rule.join}"]
    said += [f"send {rule.send}"] if rule.send != IN_THE_ROOM else []
    said += [f"members {rule.members}"] if rule.members != LIST else []
    said += ["no notices"] if rule.members == LIST and not rule.notices else []
    said += [f"history {rule.history}"] if rule.history is not None else []
    said += [f"kept for {rule.history_days:g} days"] if rule.history_days is not None else []
    said += [f"one message in {rule.slow_s:g} s"] if rule.slow_s else []
    said += [f"at most {rule.members_max} users"] if rule.members_max else []
    said += ["no signals"] if not rule.signals else []
    said += [f"moderation {rule.moderation}"] if rule.moderation else []
    said += ["receipts"] if rule.receipts else []
    return ", ".join(said)


def rule_lines(rules: RoomRules, do_tokens_count: bool) -> Iterator[tuple[str, str]]:
    """Lines (heading, text) about all rules, for `gateway check`."""
    if not rules.path:
        yield "rules", f"no [[room]] (GATEWAY_CONFIG): join {rules.rules[0].join} for every room"
        return
    count = len(rules.rules)
    yield "rules", f"{count} in {rules.path}; the first that matches decides, else nobody"
    for rule in rules.rules[:RULES_SHOWN]:
        yield f"  line {rule.line}", f'"{rule.match}" {in_words(rule)}'
    if count > RULES_SHOWN:
        yield "  …", f"{count - RULES_SHOWN} more; `gateway explain ROOM` finds the one of a room"
    for rule, decides in rules.never_reached()[:RULES_SHOWN]:
        yield (
            "warning",
            f"line {rule.line} ({rule.match}) decides nothing: line {decides.line} does before it",
        )
    unused = [rule for rule in rules.rules if {USERS, GRANTED} & {rule.join, rule.send}]
    if unused and not do_tokens_count:
        first = unused[0].line
        yield (
            "warning",
            f"line {first} asks for users or grants, and no token counts (GATEWAY_AUTH): nobody passes",
        )


def _line(heading: str, text: str, more: int = 0) -> str:
    """A heading and its text, which stays in its column."""
    begin = " " * (HEADING + more)
    line = f"{heading:<{HEADING}}{text}"
    return textwrap.fill(line, WIDTH, subsequent_indent=begin, break_on_hyphens=False, break_long_words=False)


def with_grants(grants: str, user: str) -> Identity:
    """A user with these grants (JSON, as the claim `rooms`). Raises SettingsError."""
    try:
        read = json.loads(grants)
    except ValueError:
        read = None
    return Identity(user=user, grants=_grants(read, "--grants"))


def doubt_of(settings: Settings, token: str) -> str:
    """Why a token does not count here, though its claims are explained all the same; empty if it counts."""
    if settings.identity.auth == "off":
        return (
            "GATEWAY_AUTH is off here, so everybody is a guest; this is what the token's claims would allow"
        )
    try:
        verified(settings, token)
    except NotAdmitted as refused:
        why = CAUSES.get(refused.cause, refused.sentence)
        return f"the token would be refused here, as {why}; this is what its claims would allow"
    except TokenError as error:
        return f"whether the token is right was not looked at: {error.message}"
    return ""


def by_token(token: str) -> Identity:
    """Who a token's claims say somebody is. Raises SettingsError."""
    try:
        part = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        user = claims["sub"]
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        raise SettingsError("--token is no token with a `sub`") from None
    return Identity(user=str(user), grants=_grants(claims.get("rooms", {}), "the token's `rooms`"))


def _grants(read: Any, where: str) -> dict[str, frozenset[str]]:
    if not isinstance(read, dict) or not all(isinstance(words, list) for words in read.values()):
        raise SettingsError(f'{where} must be JSON such as {{"interview:*": ["join", "send"]}}')
    return {pattern: frozenset(str(word) for word in words) for pattern, words in read.items()}


def identity_of(token: str | None, grants: str | None, user: str) -> Identity:
    """Who is asked about. Raises SettingsError."""
    if token is not None:
        return by_token(token)
    return with_grants(grants, user) if grants is not None else GUEST
