"""The greeting on a terminal: after the start-up lines of all workers, once; colours only where they are wanted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.background import Background
from gateway.server import greeting, logs
from gateway.server.last_words import greet
from gateway.settings import Settings
from tests.support.waiting import until

PATHS = Settings.from_environment({"GATEWAY_PATH_PREFIX": "/chat"}).server


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal that shows no colours."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")


async def test_it_is_said_once_after_the_last_worker_is_ready(
    terminal: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    greeting.leave(str(tmp_path), ["http://localhost:8006"], PATHS, worker_count=2, has_page=True)
    background = Background("test")
    greet(str(tmp_path), background)
    await until((tmp_path / "greeting-ready").exists, what="the first is ready")
    assert capsys.readouterr().out == ""
    greet(str(tmp_path), background)
    await until(lambda: background.is_idle, what="it was said")
    said = capsys.readouterr().out
    assert said.count("Ready: http://localhost:8006/chat/") == 1
    assert "\x1b" not in said
    assert not list(tmp_path.iterdir())
    greet(str(tmp_path), background)  # a worker of a later reload
    await until(lambda: background.is_idle, what="nothing more is said")
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())


async def test_without_a_terminal_the_first_worker_says_it_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    greeting.leave(str(tmp_path), ["http://localhost:8006"], PATHS, worker_count=2)
    background = Background("test")
    greet(str(tmp_path), background)
    assert background.is_idle
    assert "Ready. Try it: open http://localhost:8006/chat/healthz" in capsys.readouterr().out


def test_who_reads_the_greeting_in_a_file_is_sent_to_the_page_where_there_is_one(tmp_path: Path) -> None:
    greeting.leave(str(tmp_path), ["http://localhost:8006"], PATHS, has_page=True)
    text = (tmp_path / greeting.FILE).read_text()
    assert text.startswith("Ready. Try it: open http://localhost:8006/chat/ in two windows")
    assert "cdn." not in text


@pytest.mark.parametrize(("is_terminal", "is_coloured"), [(True, True), (True, False), (False, False)])
def test_lines_for_people_have_colours_only_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, is_coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", "" if is_coloured else "1")
    said = {
        "timestamp": "2026-11-26T21:00:00Z",
        "level": "warning",
        "event": "member_left",
        "pid": 7,
        "room": "a\x1bb",
    }
    line = logs.ForPeople(is_terminal)(None, "warning", dict(said))
    assert "member_left  " in line
    assert r"room='a\x1bb'" in line
    assert ("\x1b[33m" in line) is is_coloured
    assert ("pid=7" in line) is not is_terminal
    assert line.startswith("2026-") is not is_terminal
