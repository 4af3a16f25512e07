"""What gunicorn's master asks before it starts workers: are the files good that the options name?

The answer comes from a process of its own (`preflight.py`), so that the master imports nothing for it. Before a reload
`rollout.py` tries the whole application, which reads these files, too.
"""

from __future__ import annotations

import subprocess
import sys

import structlog

from gateway.option_types import SettingsError
from gateway.settings import Settings

log = structlog.get_logger("gateway.server")

COMMAND = (sys.executable, "-m", "gateway.server.preflight")
LIMIT_S = 60.0
"""Longest wait for it: on a busy machine its imports take seconds."""


def refuse_bad_files(settings: Settings) -> None:
    """Raises SettingsError with one sentence when a file cannot be used; logs what should not stay so."""
    if settings.identity.auth == "off":
        return
    try:
        found = subprocess.run(
            COMMAND, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(f"the files of the options could not be read within {LIMIT_S:g} s") from None
    if found.returncode:
        said = found.stderr.strip().splitlines() or ["the files of the options could not be read"]
        raise SettingsError(said[-1])
    for warning in found.stdout.splitlines():
        log.warning("file_open_to_others", why=warning)
