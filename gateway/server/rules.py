"""The rules of rooms: from the configuration file, or the one that stands without a file; and who decides by them."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.access.config_file import read_rules, read_text, refuse_hook, rules_of
from gateway.access.hook_request import HookRequests, read_secret
from gateway.access.join_hook import JoinHook
from gateway.access.permissions import Permissions
from gateway.access.room_rules import RoomRules, open_to
from gateway.option_types import SettingsError
from gateway.server.config_copy import copy_for
from gateway.settings import Settings


def rules_for(settings: Settings) -> RoomRules:
    """The rules as the configuration file has them now. Raises SettingsError."""
    return _rules(settings, None)


def workers_rules(settings: Settings) -> RoomRules:
    """The same as this worker's master has read them, if it has a master. Raises SettingsError."""
    folder = settings.server.run_dir
    copy = copy_for(folder, os.getppid()) if folder is not None else None
    return _rules(settings, copy if copy is not None and copy.exists() else None)


def _rules(settings: Settings, text_from: Path | None) -> RoomRules:
    path = settings.access.config_file
    if path is None:
        return open_to(False)
    return _checked(settings, read_rules(Path(path), text_from))


def _checked(settings: Settings, rules: RoomRules) -> RoomRules:
    if settings.access.join_hook is None:
        refuse_hook(rules)
    _secret(settings)
    return rules


def _secret(settings: Settings) -> bytes | None:
    """What signs the questions to the hook. Raises SettingsError."""
    path = settings.access.join_hook_secret_file
    if path is None:
        return None
    try:
        return read_secret(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else str(error)
        raise SettingsError(f"GATEWAY_JOIN_HOOK_SECRET_FILE={path!r} is not allowed: {why}") from None


def permissions_for(settings: Settings, rules: RoomRules) -> Permissions:
    """Who decides, with the way to the hook if one is asked. Raises SettingsError."""
    url = settings.access.join_hook
    return Permissions(rules, JoinHook(HookRequests(url, _secret(settings))) if url is not None else None)


def copy(to: Path) -> str:
    """Copies the configuration file of the environment's settings, if it is good; else returns why it is not."""
    try:
        settings = Settings.from_environment()
        path = Path(settings.access.config_file or "")
        text = read_text(path)
        _checked(settings, rules_of(str(path), text))
    except SettingsError as error:
        return str(error)
    new = to.with_suffix(".new")
    new.touch(0o600)
    new.write_text(text, encoding="utf-8")
    new.replace(to)
    return ""
