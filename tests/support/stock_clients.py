"""The clients that people really use, with the same few verbs: socket.io-client (Node) and python-socketio.

Adds nothing to them: reconnecting, upgrading and answering pings is theirs.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import socketio

from tests.support.binaries import missing, program
from tests.support.waiting import until

JS_FOLDER = Path(__file__).parents[1] / "system" / "js"
LIMIT_S = 10.0
CLOSE_LIMIT_S = 1.0
Way = Literal["polling", "upgrade", "websocket"]
TRANSPORTS: dict[str, list[str]] = {
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
    "websocket": ["websocket"],
}


class StockClient(Protocol):
    """What tests ask of either client."""

    received: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    connects: int

    @property
    def transport(self) -> str:
        """`polling` or `websocket`, as it is now."""

    async def connect(self, url: str, way: Way, path: str = "/socket.io") -> None:
        """Opens the session at a path; with `upgrade` returns before the upgrade is over, as the client does."""

    async def call(self, event: str, data: Any) -> Any:
        """Emits and returns the acknowledgement."""

    async def emit(self, event: str, data: Any) -> None:
        """Emits without acknowledgement."""

    async def close(self) -> None:
        """Disconnects as a client does that has had enough."""


class PythonClient:
    """python-socketio's asyncio client."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.connects = 0
        self._client = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.5)
        self._client.on("receive", self.received.append)
        self._client.on("error", self.errors.append)
        self._client.on("connect", self._count)

    @property
    def transport(self) -> str:
        """`polling` or `websocket`, as it is now."""
        return str(self._client.transport())

    @property
    def is_connected(self) -> bool:
        """Whether a session is open now."""
        return bool(self._client.connected)

    async def connect(self, url: str, way: Way, path: str = "/socket.io") -> None:
        """See StockClient."""
        await self._client.connect(url, transports=TRANSPORTS[way], wait_timeout=LIMIT_S, socketio_path=path)

    async def call(self, event: str, data: Any) -> Any:
        """See StockClient."""
        return await self._client.call(event, data, timeout=LIMIT_S)

    async def emit(self, event: str, data: Any) -> None:
        """See StockClient."""
        await self._client.emit(event, data)

    async def close(self) -> None:
        """See StockClient."""
        try:
            await asyncio.wait_for(self._client.disconnect(), CLOSE_LIMIT_S)
        except TimeoutError:
            # python-engineio 4.15 may end its writer before it has sent CLOSE, and then waits for its last poll
            await self._client.eio.http.close()

    def _count(self) -> None:
        self.connects += 1


class JavaScriptClient:
    """socket.io-client in a Node process of its own."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.events: list[tuple[str, Any]] = []
        self.refusals: list[dict[str, Any]] = []
        self.transport = ""
        self.connects = 0
        self.disconnects: list[str] = []
        self.engine_id = ""
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def connect(
        self,
        url: str,
        way: Way,
        path: str = "/socket.io",
        rooms: list[dict[str, str]] | None = None,
        token: str | None = None,
        **options: Any,
    ) -> None:
        """See StockClient; `options` are the client's own. Its `auth` function shows the token, and names the rooms,
        each with the last `id` that it saw there."""
        self._process = await asyncio.create_subprocess_exec(
            program("node"), "client.js", cwd=JS_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read(self._process.stdout))
        delays = {"reconnectionDelay": 100, "reconnectionDelayMax": 500}
        options = {"transports": TRANSPORTS[way], "path": path, **delays, **options}
        self._tell(do="connect", url=url, options=options, rooms=rooms, token=token)
        await until(lambda: self.connects, LIMIT_S, f"socket.io-client connects by {way}")

    async def call(self, event: str, data: Any, *more: Any) -> Any:
        """See StockClient; `more` are further arguments of the event. `buffer` makes those that are binary."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._tell(do="call", number=number, arguments=[event, data, *more])
        return await asyncio.wait_for(self._waiting[number], LIMIT_S)

    async def emit(self, event: str, data: Any) -> None:
        """See StockClient."""
        self._tell(do="emit", arguments=[event, data])

    def show(self, token: str) -> None:
        """What its `auth` function shows from now on."""
        self._tell(do="token", token=token)

    def connect_again(self) -> None:
        """As an application does after a refusal, which is final for the client."""
        self._tell(do="again")

    def run_snippet(self, name: str) -> None:
        """Runs a file of the js folder that expects `socket`."""
        self._tell(do="snippet", path=str(JS_FOLDER / name))

    async def close(self) -> None:
        """See StockClient."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._tell(do="disconnect")
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), LIMIT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        assert self._reader is not None
        await self._reader

    def _tell(self, **command: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _read(self, stdout: asyncio.StreamReader | None) -> None:
        assert stdout is not None
        while line := await stdout.readline():
            self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        match told["what"]:
            case "connect":
                self.transport, self.engine_id = told["transport"], told["sid"]
                self.connects += 1
            case "transport":
                self.transport = told["name"]
            case "disconnect":
                self.disconnects.append(told["reason"])
            case "acknowledged":
                self._waiting.pop(told["number"]).set_result(*told["data"])
            case "event":
                name, data = told["arguments"]
                self.events.append((name, data))
                (self.received if name == "receive" else self.errors).append(data)
            case "refused":
                self.refusals.append(told)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._process is not None:
            await self.close()


def buffer(data: bytes) -> dict[str, str]:
    """A Buffer, as an argument or inside one of a JavaScript client."""
    return {"$base64": base64.b64encode(data).decode()}


def install_javascript_client() -> None:
    """Installs what `package.json` names into the js folder unless it is there; else skips or fails the test."""
    program("node")
    named = json.loads((JS_FOLDER / "package.json").read_text())["dependencies"]
    if all((JS_FOLDER / "node_modules" / name).is_dir() for name in named):
        return
    command = [program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    done = subprocess.run(command, cwd=JS_FOLDER, capture_output=True, text=True, timeout=110)
    if done.returncode:
        shutil.rmtree(JS_FOLDER / "node_modules", ignore_errors=True)
        missing(f"npm could not install the JavaScript packages: {done.stderr[-400:]}")
