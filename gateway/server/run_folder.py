"""The private folder in which the workers of one host pass connections to each other.

Given by `GATEWAY_RUN_DIR`, or made anew and removed at the end. After USR2 two masters run on one port for a while, and
the kernel gives a connection to a worker of either: both use the folder of the first, and the last one removes it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from gateway.option_types import SettingsError

SOCKET_FOLDER_MAX = 70
"""Longest path of the workers' folder in bytes; a Unix socket's has room for 103 (macOS) or 107 (Linux)."""
TEMPORARY_MAX = SOCKET_FOLDER_MAX - len("/gateway-12345678")
"""Longest path of the folder in which a new one is made."""
MARK = "made-by-gateway"
"""A file in a folder that was made anew: whoever ends last removes the folder."""


def run_folder(given: str | None, uid: int, gid: int) -> Path:
    """The folder: private, short, and the workers' own when gunicorn gives up root for them. Raises SettingsError."""
    folder = _given_folder(given) if given else _new_folder()
    if len(os.fsencode(folder.absolute())) > SOCKET_FOLDER_MAX:
        raise SettingsError(
            f"GATEWAY_RUN_DIR={given!r} is not allowed: at most {SOCKET_FOLDER_MAX} bytes long"
        )
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise SettingsError(f"GATEWAY_RUN_DIR={given!r} is not allowed: a private folder (mode 0700)")
    if os.geteuid() == 0:
        os.chown(folder, uid, gid)
    return folder


def remove_if_ours(folder: Path) -> None:
    """Removes the folder if a master made it; one that was given by name stays."""
    if (folder / MARK).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _given_folder(given: str) -> Path:
    folder = Path(given)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"GATEWAY_RUN_DIR={given!r} cannot be made: {error.strerror}") from error
    return folder


def _new_folder() -> Path:
    around = tempfile.gettempdir()
    is_short = len(os.fsencode(around)) <= TEMPORARY_MAX
    folder = Path(tempfile.mkdtemp(prefix="gateway-", dir=around if is_short else "/tmp"))
    (folder / MARK).touch()
    return folder
