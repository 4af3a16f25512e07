"""`[[room]]` of the configuration file: the rules of rooms, in their order. What a rule means is in `room_rules.py`."""

from __future__ import annotations

from gateway.access.config_file import ConfigFile, Entry, TableKind, refuse
from gateway.access.config_values import any_text, number, shown, switch, text, whole, word
from gateway.access.patterns import PatternError, parse
from gateway.access.room_rules import COUNT, HOOK, JOIN_WORDS, LIST, OFF, SEND_WORDS, RoomRule, RoomRules

_OTHER_WORDS = {
    "anybody": "anyone", "everybody": "anyone", "everyone": "anyone", "all": "anyone", "public": "anyone",
    "none": "nobody", "noone": "nobody", "no one": "nobody", "user": "users", "token": "granted", "grant": "granted",
    "member": "members", "names": "list",
}  # fmt: skip
"""What people write for a word."""

GATHER_MS_MAX = 1000
"""Who waits longer for a message takes it for lost."""

ROOM = TableKind(
    "room",
    {
        "match": any_text("a pattern such as interview:*"),
        "join": word(JOIN_WORDS, _OTHER_WORDS),
        "send": word(SEND_WORDS, _OTHER_WORDS),
        "members": word((LIST, COUNT, OFF), _OTHER_WORDS),
        "notices": switch(),
        "history": whole(0, 100),
        "history_days": number(1 / 24, 3650),
        "slow_s": number(0, 86_400),
        "members_max": whole(0, 1_000_000),
        "signals": switch(),
        "moderation": text(64),
        "edit_s": number(0, 86_400),
        "receipts": switch(),
        "gather_ms": whole(0, GATHER_MS_MAX),
    },
    {"match": "say for which rooms it is"},
)
"""What a rule may say, in the order of the documentation."""


def rules_in(file: ConfigFile) -> RoomRules | None:
    """The rules of a file; None if it has none, so that the rule stands that stands without a file. Raises
    SettingsError."""
    entries = file.entries(ROOM)
    return RoomRules([_rule(each) for each in entries], file.path) if entries else None


def _rule(entry: Entry) -> RoomRule:
    values = entry.values
    try:
        parse(values["match"])
    except PatternError as error:
        entry.refuse(f"match = {shown(values['match'])} is not allowed: {error}", "match")
    rule = RoomRule(**values, line=entry.line)
    if values.get("notices") and rule.members != LIST:
        entry.refuse(f"notices = true needs members = {LIST!r}: a notice names who came", "notices")
    return rule


def refuse_hook(rules: RoomRules) -> None:
    """Raises SettingsError for the first rule that asks a hook, where no URL is given."""
    for rule in rules.rules:
        if rule.asks_hook:
            refuse(rules.path, rule.line, f"{HOOK!r} needs GATEWAY_JOIN_HOOK, the URL that is asked")


def refuse_moderation(rules: RoomRules) -> None:
    """Raises SettingsError for the first rule whose messages are to be shown to a hook, where no URL is given."""
    for rule in rules.rules:
        if rule.moderation:
            refuse(rules.path, rule.line, "'moderation' needs GATEWAY_SEND_HOOK, the URL that is asked")
