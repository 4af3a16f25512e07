"""`chat.js` in a Node process of its own, and whether what it shows is what the history says."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.binaries import program
from tests.support.stock_clients import JS_FOLDER
from tests.support.waiting import until

LIMIT_S = 20.0


class ChatJs:
    """One chat: `async with ChatJs() as ada: await ada.connect(url, [room], username="ada")`."""

    def __init__(self, storage: Path | None = None) -> None:
        """`storage` is a file that stands for the browser's localStorage."""
        self._environment = {**os.environ, **({} if storage is None else {"STORAGE": str(storage)})}
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(
        self, url: str, rooms: list[str], is_stock: bool = False, is_waited_for: bool = True, **options: Any
    ) -> None:
        """Connects with options of `chat.js`; `hasToken` lets it show what `show` was told. Returns once the rooms are
        joined."""
        await self._ask("connect", options={"url": url, **options}, rooms=rooms, isStock=is_stock)
        for room in rooms if is_waited_for else []:
            await self.joins(room)

    async def joins(self, room: str, limit_s: float = LIMIT_S) -> None:
        """Waits until it is in the room."""

        async def is_in() -> bool:
            return bool((await self.look(room))["state"] == "joined")

        await until(is_in, limit_s, f"chat.js is in {room}")

    async def show(self, token: str | None) -> None:
        """What it shows at the next connect; None: who makes tokens is away."""
        await self._ask("token", token=token)

    async def send(self, room: str, text: str) -> dict[str, Any]:
        """Sends, and returns the entry as it is then."""
        entry: dict[str, Any] = await self._ask("send", room=room, text=text)
        return entry

    async def call(self, room: str | None, method: str, *arguments: Any) -> Any:
        """A method of a room, or of the chat."""
        return await self._ask("call", room=room, method=method, arguments=arguments)

    async def look(self, room: str) -> dict[str, Any]:
        """All that a page would show of a room, and what was told so far."""
        found: dict[str, Any] = await self._ask("look", room=room)
        return found

    async def shows(self, room: str, count: int, limit_s: float = LIMIT_S) -> list[dict[str, Any]]:
        """Waits until it shows so many stored messages and nothing that waits; returns them."""
        found: list[dict[str, Any]] = []

        async def are_there() -> bool:
            found[:] = (await self.look(room))["messages"]
            return len(found) >= count and all(each["state"] == "sent" for each in found)

        try:
            await until(are_there, limit_s, f"{count} messages are shown")
        except AssertionError as late:
            raise AssertionError(f"{late}; there are {[each.get('message') for each in found]}") from late
        return found

    def kill(self) -> None:
        """As a browser that is closed hard."""
        assert self._process is not None
        self._process.kill()

    async def _ask(self, verb: str, **more: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"number": number, "do": verb, **more}).encode() + b"\n")
        return await asyncio.wait_for(self._waiting[number], LIMIT_S)

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            told = json.loads(line)
            self._waiting.pop(told["number"]).set_result(told["answer"])

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            program("node"), "chatting.mjs", cwd=JS_FOLDER, env=self._environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**22,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._reader = asyncio.create_task(self._read(self._process.stdout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader
        assert not self._waiting, "every command was answered"


def told(message: dict[str, Any]) -> tuple[str, str, str]:
    """What counts of a message: position, sender, text."""
    return message["id"], message["username"], message["message"]
