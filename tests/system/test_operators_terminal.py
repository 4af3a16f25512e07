"""`gateway top`, `room --watch` and `tail` on a terminal and in a pipe: what people see, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from gateway.server.screen import CLOSE, OPEN
from gateway.server.terminal import width
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.operators import LIMIT_S, environment
from tests.support.servers import Valkey
from tests.support.terminals import CTRL_C, CTRL_Z, Terminal, on_a_terminal
from tests.support.waiting import until

pytestmark = pytest.mark.system

NAMES = ("🎉 会議室 Feier", "long-" * 25, "a\u0301 room\u202e of accents")


async def crowded(gateway: Gateway, connect: Opener, room: str) -> Member:
    """A member of rooms whose names take more and less columns than characters."""
    member = await connect(gateway.url)
    for name in (room, *(f"{room} {each}"[:150] for each in NAMES)):
        await member.join("Ann 会議", name)
        await member.send(name, "hello")
    return member


async def until_drawn(terminal: Terminal, more: int = 2) -> None:
    """Waits for that many more looks; the last but one is whole."""
    before = terminal.shown().count("\x1b[H")
    await until(lambda: terminal.shown().count("\x1b[H") >= before + more, LIMIT_S, "more looks")


def assert_fits(terminal: Terminal, columns: int, lines: int) -> None:
    """No line is longer than the screen is wide, and there are no more of them than it has."""
    screen = terminal.last_screen()
    assert len(screen) <= lines, screen
    assert max(map(width, screen)) <= columns, screen


async def test_screens_fit_and_ctrl_c_leaves_the_terminal_as_it_was(
    server: Valkey, room: str, connect: Opener
) -> None:
    async with Gateway(server.url, workers=1) as gateway:
        await crowded(gateway, connect, room)
        given = environment(server.url)
        with (
            on_a_terminal("top", environment=given) as top,
            on_a_terminal("room", room, "--watch", environment=given, columns=120, lines=10) as watched,
        ):
            for terminal, columns, lines in ((top, 80, 24), (watched, 120, 10)):
                await until_drawn(terminal)
                assert_fits(terminal, columns, lines)
            assert any("1 worker, 1 connection" in line for line in top.last_screen())
            assert "All that answered agree with the store." in "".join(watched.last_screen())
            for terminal in (top, watched):
                terminal.press(CTRL_C)
                assert await terminal.ended() == -signal.SIGINT
                assert (terminal.shown().count(OPEN), terminal.shown().endswith(CLOSE)) == (1, True)
                assert "Traceback" not in terminal.shown()


@pytest.mark.long
async def test_a_watch_outlives_a_store_that_stands_still(server: Valkey, room: str, connect: Opener) -> None:
    async with Gateway(server.url, workers=1) as gateway:
        member = await crowded(gateway, connect, room)
        given = environment(server.url, GATEWAY_PROBE_S="0.5", GATEWAY_DEAF_S="1.5")
        with (
            on_a_terminal("top", environment=given) as top,
            on_a_terminal("tail", room, environment=given) as tailed,
        ):
            await until_drawn(top, 1)
            server.freeze()
            try:
                await top.until_shown("; looking again")
                await tailed.until_shown("interrupted")
            finally:
                server.thaw()
            await tailed.until_shown("restored")
            seen = len(top.shown())
            await until(lambda: "1 worker, 1 connection" in top.shown()[seen:], LIMIT_S, "it looks again")
            assert member.sid


async def test_a_command_that_is_put_aside_gives_the_screen_back(server: Valkey) -> None:
    with on_a_terminal("room", "lobby", "--watch", environment=environment(server.url)) as watched:
        await until_drawn(watched, 1)
        watched.press(CTRL_Z)
        await until(lambda: watched.shown().endswith(CLOSE), LIMIT_S, "the screen is given back")
        watched.process.send_signal(signal.SIGCONT)
        await until(lambda: watched.shown().count(OPEN) == 2, LIMIT_S, "the screen is taken again")
        await until_drawn(watched, 1)


async def test_without_colours_nothing_is_coloured(server: Valkey) -> None:
    given = environment(server.url, NO_COLOR="1")
    with on_a_terminal("room", "lobby", environment=given) as plain:
        assert await plain.ended() == 0
        assert "\x1b" not in plain.shown()
        assert "no such room" in plain.shown()


@pytest.mark.parametrize("words", [("tail", "quiet"), ("top",), ("room", "lobby", "--watch")])
async def test_a_pipe_that_closes_ends_the_command_without_a_word(
    server: Valkey, words: tuple[str, ...]
) -> None:
    ours, theirs = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        env=environment(server.url),
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    if words[0] != "tail":  # which has nothing to write
        await asyncio.to_thread(os.read, ours, 10)
    os.close(ours)
    _, errors = await asyncio.to_thread(process.communicate, timeout=LIMIT_S)
    assert (process.returncode, errors) == (0, b"")
