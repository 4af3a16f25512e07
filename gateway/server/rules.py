"""The rules of rooms of this gateway: from the configuration file, or the one that stands without a file."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.access.config_file import read_rules, read_text, refuse_hook, rules_of
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
    return _checked(read_rules(Path(path), text_from))


def _checked(rules: RoomRules) -> RoomRules:
    refuse_hook(rules)
    return rules


def copy(to: Path) -> str:
    """Copies the configuration file of the environment's settings, if it is good; else returns why it is not."""
    try:
        path = Path(Settings.from_environment().access.config_file or "")
        text = read_text(path)
        _checked(rules_of(str(path), text))
    except SettingsError as error:
        return str(error)
    new = to.with_suffix(".new")
    new.touch(0o600)
    new.write_text(text, encoding="utf-8")
    new.replace(to)
    return ""
