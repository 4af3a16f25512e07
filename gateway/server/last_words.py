"""The greeting comes last on a terminal: after the start-up lines of all workers, so that it does not scroll away.

A worker that is ready leaves a byte in the workers' folder. Once there are as many as workers, or after `WAIT_S`, the
greeting is said, by whoever takes it. Where nobody looks at a terminal the first worker that is ready says it at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from gateway.background import Background
from gateway.server import greeting

READY = "greeting-ready"
WAIT_S = 3.0
"""So long the slowest worker may take."""
LOOK_S = 0.05


def greet(folder: str | None, background: Background) -> None:
    """This worker is ready for the first time."""
    if folder is None or not sys.stdout.isatty():
        greeting.say(folder)
    else:
        background.run(_greet_after_all(Path(folder)), "greeting")


async def _greet_after_all(folder: Path) -> None:
    """Looks every `LOOK_S`; ends after `WAIT_S` at the latest."""
    ready, until_s = folder / READY, time.monotonic() + WAIT_S
    if not (folder / greeting.FILE).exists():
        return  # it was said before: this worker is a later one
    with ready.open("ab") as file:
        file.write(b".")
    while (
        (folder / greeting.FILE).exists() and time.monotonic() < until_s and not _are_all_ready(folder, ready)
    ):
        await asyncio.sleep(LOOK_S)
    greeting.say(str(folder))
    ready.unlink(missing_ok=True)


def _are_all_ready(folder: Path, ready: Path) -> bool:
    try:
        return ready.stat().st_size >= int((folder / greeting.WORKERS).read_text())
    except (OSError, ValueError):
        return True  # somebody else has said it
