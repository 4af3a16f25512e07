"""A screen that a command draws again and again until Ctrl-C: `gateway top`, and `gateway room --watch`.

Owns the terminal meanwhile. On one that can, it draws on the second screen, as editors do, so that what stood there is
back when the command ends or is put aside (Ctrl-Z). Where nobody looks, each look is printed below the one before. A
store that does not answer ends nothing: the last look stays, with what is wrong above it, until it answers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from gateway.errors import StoreError
from gateway.server.terminal import paint

OPEN = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The second screen, no cursor, and no line that goes on in the next."""
CLOSE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

Look = Callable[[], Awaitable[list[str]]]


def is_screen() -> bool:
    """Whether standard output is a terminal on which one can draw."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


async def watch(title: str, every_s: float, look: Look) -> None:
    """Shows what each look found, until the process is ended. The lines of a look begin with a summary."""
    with _screen():
        shown = [""]
        while True:
            trouble = ""
            try:
                shown = await look()
            except StoreError as error:
                trouble = f"{str(error).rstrip('.')}; looking again"
            _draw([_head(title, shown[0], trouble), *(shown[1:])])
            await asyncio.sleep(every_s)


def _head(title: str, summary: str, trouble: str) -> str:
    now = time.strftime("%H:%M:%S")
    told = paint(trouble, "red", bold=True) if trouble else summary
    return f"{paint(title, 'cyan', bold=True)}  {paint(now, 'bright_black')}  {told}"


def _draw(lines: Sequence[str]) -> None:
    if not is_screen():
        click.echo("\n".join([*lines, ""]))
        return
    height = shutil.get_terminal_size((80, 24)).lines
    if len(lines) > height:
        lines = [*lines[: height - 1], f"… {len(lines) - height + 1} more lines"]
    text = "\n".join(f"{line}{CLEAR_LINE}" for line in lines)
    click.echo(f"{HOME}{text}{CLEAR_BELOW}", nl=False)


@contextmanager
def _screen() -> Iterator[None]:
    """The second screen, until Ctrl-C, SIGTERM or an error; away while the command is put aside."""
    if not is_screen():
        yield
        return
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, _end, ending)
    loop.add_signal_handler(signal.SIGTSTP, _put_aside)
    click.echo(OPEN, nl=False)
    try:
        yield
    finally:
        click.echo(CLOSE, nl=False)


def _end(by: signal.Signals) -> None:
    """Ends the process by the same signal, as without a handler, with the terminal as it was."""
    click.echo(CLOSE, nl=False)
    signal.signal(by, signal.SIG_DFL)
    os.kill(os.getpid(), by)


def _put_aside() -> None:
    click.echo(CLOSE, nl=False)
    os.kill(os.getpid(), signal.SIGSTOP)
    click.echo(OPEN, nl=False)
