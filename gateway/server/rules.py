"""What the configuration file says: rules of rooms, keys of backends, webhooks; and what stands without."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.access.api_keys import ApiKeys
from gateway.access.application import Application
from gateway.access.config_file import ConfigFile, read_file, read_text
from gateway.access.hook_request import HookRequests
from gateway.access.join_hook import JoinHook
from gateway.access.key_table import keys_in
from gateway.access.permissions import Permissions
from gateway.access.room_rules import RoomRules, open_to
from gateway.access.room_table import refuse_hook, refuse_moderation, rules_in
from gateway.access.send_hook import LIMIT_S, SendHook
from gateway.access.standard_webhooks import read_secret
from gateway.option_types import SettingsError
from gateway.server.config_copy import copy_for
from gateway.server.webhook_lines import never_told
from gateway.settings import Settings
from gateway.webhooks.table import webhooks_in
from gateway.webhooks.webhook import Webhook

log = structlog.get_logger("gateway.server")


@dataclass(frozen=True, slots=True)
class Configured:
    """What is configured in lists: by the file, and by variables that say the same."""

    rules: RoomRules
    api_keys: ApiKeys
    webhooks: tuple[Webhook, ...] = ()


def configured(settings: Settings) -> Configured:
    """What the configuration file has now. Raises SettingsError."""
    return _configured(settings, None)


def workers_configured(settings: Settings) -> Configured:
    """The same as this worker's master has read it, if it has a master; logs what can never come of it. Raises
    SettingsError."""
    folder = settings.server.run_dir
    copy = copy_for(folder, os.getppid()) if folder is not None else None
    found = _configured(settings, copy if copy is not None and copy.exists() else None)
    for sentence in never_told(found.webhooks, found.rules):
        log.warning("webhook_events_never_come", why=sentence)
    return found


def _configured(settings: Settings, text_from: Path | None) -> Configured:
    path = settings.access.config_file
    return _of(settings, read_file(Path(path), text_from) if path is not None else None)


def _of(settings: Settings, file: ConfigFile | None) -> Configured:
    """What a file says, all of it checked. Raises SettingsError."""
    rules = rules_in(file) if file is not None else None
    if rules is not None and settings.access.join_hook is None:
        refuse_hook(rules)
    if rules is not None and settings.send_hook.url is None:
        refuse_moderation(rules)
    if file is not None:
        _join_secret(settings)
        _send_secret(settings)
    return Configured(
        rules if rules is not None else open_to(settings.identity.auth == "required"),
        keys_in(file, settings.api_keys.hashes),
        webhooks_in(file) if file is not None else (),
    )


def _join_secret(settings: Settings) -> bytes | None:
    return _secret("GATEWAY_JOIN_HOOK_SECRET_FILE", settings.access.join_hook_secret_file)


def _send_secret(settings: Settings) -> bytes | None:
    return _secret("GATEWAY_SEND_HOOK_SECRET_FILE", settings.send_hook.secret_file)


def _secret(variable: str, path: str | None) -> bytes | None:
    """What signs the questions to a hook. Raises SettingsError."""
    if path is None:
        return None
    try:
        return read_secret(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else str(error)
        raise SettingsError(f"{variable}={path!r} is not allowed: {why}") from None


def permissions_for(settings: Settings, rules: RoomRules) -> Permissions:
    """Who decides, with the way to the hook if one is asked. Raises SettingsError."""
    url = settings.access.join_hook
    if url is None:
        return Permissions(rules)
    return Permissions(rules, JoinHook(HookRequests(url, _join_secret(settings))))


def send_hook_for(settings: Settings) -> SendHook | None:
    """Who sees messages before they are stored, if anybody does. Raises SettingsError."""
    options = settings.send_hook
    if options.url is None:
        return None
    secret = _send_secret(settings)
    application = Application(options.url, LIMIT_S, () if secret is None else (secret,))
    return SendHook(application, settings.limits.message_max)


def copy(to: Path) -> str:
    """Copies the configuration file of the environment's settings, if it is good; else returns why it is not."""
    try:
        settings = Settings.from_environment()
        path = Path(settings.access.config_file or "")
        text = read_text(path)
        _of(settings, ConfigFile(str(path), text))
    except SettingsError as error:
        return str(error)
    new = to.with_suffix(".new")
    new.touch(0o600)
    new.write_text(text, encoding="utf-8")
    new.replace(to)
    return ""
