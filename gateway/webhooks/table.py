"""`[[webhook]]` of the configuration file."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from gateway.access.config_file import ConfigFile, Entry, TableKind
from gateway.access.config_values import any_text, shown, some_texts, some_words
from gateway.access.patterns import PatternError, parse
from gateway.access.standard_webhooks import read_secrets
from gateway.option_types import web_url
from gateway.webhooks.webhook import EVENTS, Webhook

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
NAME_ALLOWED = "a name has 1 to 32 of A-Z a-z 0-9 . _ -, and begins with a letter or digit"

HOOKS_MAX = 16
"""Each has requests, memory and looks at rooms of its own."""

_OTHER_WORDS = {
    "messages": "message", "chat": "message", "rooms": "room", "occupied": "room", "vacated": "room",
    "presence": "member", "members": "member", "joined": "member", "left": "member",
}  # fmt: skip
"""What people write for a kind of events."""

WEBHOOK = TableKind(
    "webhook",
    {
        "name": any_text(NAME_ALLOWED),
        "url": any_text("a URL such as https://app.example.org/chat-events", is_shown=False),
        "events": some_words(EVENTS, _OTHER_WORDS),
        "rooms": some_texts('a list of patterns such as ["support:**"]'),
        "secret_file": any_text("the path of a file"),
        "secret_env": any_text("the name of an environment variable", is_shown=False),
    },
    {"url": "say where events are posted to"},
)
"""What a webhook may say, in the order of the documentation."""


def webhooks_in(file: ConfigFile) -> tuple[Webhook, ...]:
    """The webhooks of a file, with their secrets. Raises SettingsError."""
    found: list[Webhook] = []
    for entry in file.entries(WEBHOOK):
        hook = _webhook(entry)
        for other in found:
            if other.name == hook.name:
                entry.refuse(
                    f"line {other.line} has a webhook of that name, too: give each a name of its own"
                )
        if len(found) == HOOKS_MAX:
            entry.refuse(f"there are more than {HOOKS_MAX} webhooks")
        found.append(hook)
    return tuple(found)


def _webhook(entry: Entry) -> Webhook:
    values = entry.values
    try:
        url = web_url().read(values["url"])
    except ValueError:
        entry.refuse("url = … is not allowed: a URL such as https://app.example.org/chat-events", "url")
    name = values.get("name", f"hook-{hashlib.sha256(url.encode()).hexdigest()[:8]}")
    if not NAME.fullmatch(name):
        entry.refuse(f"name = {shown(name)} is not allowed: {NAME_ALLOWED}", "name")
    events, rooms = tuple(values.get("events", EVENTS)), tuple(values.get("rooms", ("**",)))
    for pattern in rooms:
        try:
            parse(pattern)
        except PatternError as error:
            entry.refuse(f"rooms = {shown([pattern])} is not allowed: {error}", "rooms")
    return Webhook(name=name, url=url, secrets=_secrets(entry), events=events, rooms=rooms, line=entry.line)


def _secrets(entry: Entry) -> tuple[bytes, ...]:
    path, variable = entry.values.get("secret_file"), entry.values.get("secret_env")
    if (path is None) == (variable is None):
        entry.refuse(
            "this [[webhook]] needs a secret_file or a secret_env, one of them: it signs what is posted"
        )
    key = "secret_file" if path is not None else "secret_env"
    try:
        return read_secrets(_text_of(path, variable or ""))
    except (OSError, ValueError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else str(error)
        named = shown(path) if path is not None else "…"
        entry.refuse(f"{key} = {named} is not allowed: {why}", key)


def _text_of(path: str | None, variable: str) -> str:
    if path is not None:
        return Path(path).read_text(encoding="ascii")
    if variable not in os.environ:
        raise ValueError("that variable is not set")
    return os.environ[variable].replace(",", "\n")
