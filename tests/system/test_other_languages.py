"""Clients in Java, Go and Rust: they join, send, receive, and come back with `since` after their worker was killed.

Java and Go are required where CI is set and these tests are asked for: Maven has the one within 6 s, the Go modules are
there within 7. A Rust client takes minutes to compile, so it is skipped without its toolchain in any case.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from gateway.client import connect
from tests.support.binaries import missing, program
from tests.support.gateways import Gateway
from tests.support.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(600)]

OTHERS = Path(__file__).parent / "others"
BUILD_LIMIT_S = 500


def _build(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_LIMIT_S)
    if done.returncode:
        missing(f"{' '.join(command[:3])} failed: {(done.stdout + done.stderr)[-800:]}")


def java(folder: Path) -> list[str]:
    _build([program("mvn"), "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"], folder)
    _build([program("javac"), "-cp", "lib/*", "Chat.java"], folder)
    return [program("java"), "-cp", f"{folder}/lib/*:{folder}", "Chat"]


def go(folder: Path) -> list[str]:
    _build([program("go"), "mod", "tidy"], folder)
    _build([program("go"), "build", "-o", "chat", "."], folder)
    return [str(folder / "chat")]


def rust(folder: Path) -> list[str]:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    _build([cargo, "build", "--quiet"], folder)
    return [str(folder / "target/debug/chat")]


class Program:
    """A client in a process of its own, and the lines that it has told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[list[str]] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *command: str) -> Self:
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(line.decode().split())

    def told(self, what: str) -> list[list[str]]:
        return [words for verb, *words in self.lines if verb == what]

    def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())

    async def close(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading


@pytest.mark.parametrize("build", [java, go, rust])
async def test_it_joins_sends_receives_and_comes_back_with_since(
    redis_url: str, room: str, tmp_path: Path, build: Callable[[Path], list[str]]
) -> None:
    folder = tmp_path / "client"
    shutil.copytree(OTHERS / build.__name__, folder)
    command = await asyncio.to_thread(build, folder)
    async with Gateway(redis_url, workers=2) as gateway:
        async with connect(gateway.url, username="Bob") as bob:
            other = bob.room(room)
            await other.send("one")
            client = await Program.start(*command, gateway.url, room, "Ada")
            try:
                await until(lambda: client.told("received"), 20, "it has the history")
                client.say("two")
                await until(lambda: client.told("sent"), 20, "what it said is stored")
                for pid in gateway.worker_pids():
                    os.kill(pid, signal.SIGKILL)
                await other.send("three")
                await until(lambda: len(client.told("joined")) == 2, 60, "it is back")
                await other.send("four")
                await until(lambda: client.told("received")[-1][1] == "four", 20, "it hears what comes")
                history = [[each.id, each.text] for each in await other.history()]
                assert client.told("received") == history, "each once, in order"
                assert client.told("joined")[1] == ["true"], "it came back with since"
            finally:
                await client.close()
