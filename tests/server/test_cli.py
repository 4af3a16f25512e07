"""The command `gateway` as a newcomer types it: it starts all of it, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import socketio

from tests.support.gateways import fetch_json
from tests.support.ports import Port
from tests.support.waiting import Stopwatch, stays, until

GONE_WITHIN_S = 10.0
"""The promise: Ctrl-C stops all of it within seconds."""
READY_WITHIN_S = 60.0

pytestmark = pytest.mark.system


@dataclass(slots=True)
class Started:
    """One `gateway serve` with its children, in a session and a process group of its own."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    family: dict[int, psutil.Process] = field(default_factory=dict)

    def text(self, stream: str) -> str:
        """What it wrote so far to `out` or `err`."""
        return (self.folder / stream).read_text(errors="replace")

    def valkeys(self) -> list[int]:
        """Process ids of the embedded servers; there must never be more than one."""
        return [each.pid for each in self._children() if each.name() == "valkey-server"]

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return [each.pid for each in self._children() if each.name() != "valkey-server"]

    def _children(self) -> list[psutil.Process]:
        """Living children; all that were ever seen are remembered for `survivors`."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.family.update({each.pid: each for each in found})
        return [each for each in found if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    def survivors(self) -> list[str]:
        """Children seen before that still live; a zombie has ended."""
        return [
            str(each)
            for each in self.family.values()
            if each.is_running() and each.status() != psutil.STATUS_ZOMBIE
        ]

    async def ready(self, workers: int) -> None:
        """Waits until every worker lives and the port says that it is ready."""
        await until(self._is_whole_or_dead(workers), READY_WITHIN_S, "the gateway is ready")
        assert self.process.poll() is None, self.text("err")

    def _is_whole_or_dead(self, workers: int) -> Callable[[], object]:
        async def look() -> bool:
            if self.process.poll() is not None:
                return True
            is_whole = len(self.workers()) == workers
            return is_whole and (await fetch_json(f"http://127.0.0.1:{self.port}/readyz"))[0] == 200

        return look

    async def ended(self, limit_s: float = GONE_WITHIN_S) -> int:
        """Waits until it and all its children are gone; its exit status."""
        try:
            await until(lambda: self.process.poll() is not None, limit_s, "the gateway ends")
            await until(lambda: not self.survivors(), limit_s, "its children are gone")
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.survivors()}\n{self.text('err')}") from late
        return self.process.returncode


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: Unix sockets go below it."""
    made = Path(tempfile.mkdtemp(prefix="gw-"))
    yield made
    shutil.rmtree(made)


def environment(folder: Path, **chosen: str) -> dict[str, str]:
    ours = ("PORT", "REDIS_URL", "WEB_CONCURRENCY")
    kept = {
        k: v for k, v in os.environ.items() if k not in ours and not k.startswith(("GATEWAY_", "GUNICORN_"))
    }
    places = {"GATEWAY_STATE_DIR": str(folder / "state"), "TMPDIR": str(folder), "GATEWAY_HOST": "127.0.0.1"}
    return {**kept, **places, "GATEWAY_DRAIN_S": "0.5", "WEB_CONCURRENCY": "2", **chosen}


@contextmanager
def started(folder: Path, *arguments: str, port: int, **chosen: str) -> Iterator[Started]:
    """Runs `gateway` with these arguments; at the end nothing of it is left, however the test went."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            env=environment(folder, **chosen),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    gateway = Started(process, port, folder)
    try:
        yield gateway
    finally:
        if process.poll() is None:
            gateway.workers()
            process.kill()
        process.wait()
        for each in gateway.family.values():
            if each.is_running():
                each.kill()


@pytest.fixture
def port() -> Iterator[int]:
    kept = Port()
    yield kept.number
    kept.release()


@asynccontextmanager
async def serving(folder: Path, port: int, *arguments: str, **chosen: str) -> AsyncIterator[Started]:
    """A gateway of two workers that is ready."""
    with started(folder, *arguments, "--port", str(port), port=port, **chosen) as gateway:
        await gateway.ready(workers=2)
        yield gateway


async def test_it_starts_everything_and_says_where(folder: Path, port: int) -> None:
    async with serving(folder, port, "serve") as gateway:
        (valkey,) = gateway.valkeys()
        told = gateway.text("out")
        assert f"http://127.0.0.1:{port}" in told
        assert "2 workers" in told
        assert "gateway check" in told
        assert len(told.splitlines()) <= 12
        assert "Open to the world" not in told + gateway.text("err")
        assert (
            told.index("listens at")
            < told.index(f"Valkey, with its data in {folder / 'state'}")
            < told.index("Try it")
        )
        lines = [json.loads(line) for line in gateway.text("err").splitlines()]
        (line,) = [line for line in lines if line["event"] == "embedded_valkey_started"]
        assert line["why"] == "no REDIS_URL set"
        assert line["keeps_its_data_in"] == str(folder / "state")
        assert line["valkey_pid"] == valkey


async def test_a_redis_that_is_down_is_no_success(folder: Path, port: int) -> None:
    url, host = "redis://:s3cret@127.0.0.1:1", {"GATEWAY_HOST": "0.0.0.0"}
    with started(folder, "--port", str(port), "--redis", url, port=port, **host) as gateway:
        await until(
            lambda: "worker_not_ready" in gateway.text("err"), READY_WITHIN_S, "it says that it is not ready"
        )
        lines = [json.loads(line) for line in gateway.text("err").splitlines()]
        said = next(line for line in lines if line["event"] == "worker_not_ready")
        assert "127.0.0.1:1 cannot be reached: Connection refused" in said["why"]
        assert "tried again until it answers" in said["what_helps"]
        assert "Rooms are kept in Redis: 127.0.0.1:1." in gateway.text("out")
        assert "Try it" not in gateway.text("out")
        assert "s3cret" not in gateway.text("out") + gateway.text("err")
        assert "Open to the world" in gateway.text("out")
        assert [line["hosts"] for line in lines if line["event"] == "open_to_the_world"] == [["0.0.0.0"]]


async def test_ctrl_c_leaves_no_process_and_no_socket_folder_behind(folder: Path, port: int) -> None:
    async with serving(folder, port) as gateway:
        assert len(gateway.valkeys()) == 1
        assert list(folder.glob("gateway-*"))
        os.killpg(gateway.process.pid, signal.SIGINT)
        assert await gateway.ended() == 0
        assert not list(folder.glob("gateway-*"))
        assert "Traceback" not in gateway.text("err")


def is_pythons(pid: int) -> bool:
    """Whether a process is still the interpreter's, which starts: on a busy machine that takes longer than the shortest
    of these times, and until then Ctrl-C is not ours to answer. Python ignores SIGPIPE, then catches SIGINT; the first
    line of the command lets that end the process, until gunicorn has it."""
    if sys.platform != "linux":
        return False
    process = Path(f"/proc/{pid}")
    signals = dict(
        line.split(":\t") for line in (process / "status").read_text().splitlines() if ":\t" in line
    )
    is_ignoring = int(signals["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1))
    is_catching = int(signals["SigCgt"], 16) & (1 << (signal.SIGINT - 1))
    return not is_ignoring or bool(is_catching and b"gunicorn" not in (process / "cmdline").read_bytes())


@pytest.mark.parametrize("after_s", [0.1, 0.3, 0.6, 0.9, 1.2, 1.5])
async def test_an_early_ctrl_c_ends_it_without_a_traceback(folder: Path, port: int, after_s: float) -> None:
    with started(folder, "--port", str(port), port=port) as gateway:
        await stays(lambda: gateway.process.poll() is None, for_s=after_s)
        await until(lambda: not is_pythons(gateway.process.pid), what="the interpreter has started")
        gateway.valkeys()
        os.killpg(gateway.process.pid, signal.SIGINT)
        await gateway.ended()
        assert "Traceback" not in gateway.text("err")


async def test_sigterm_stops_the_workers_first_and_valkey_last(folder: Path, port: int) -> None:
    async with serving(folder, port) as gateway:
        gateway.process.terminate()
        assert await gateway.ended() == 0
        events = [json.loads(line)["event"] for line in gateway.text("err").splitlines()]
        assert events[-1] == "embedded_valkey_stopped"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_a_killed_master_takes_its_workers_and_its_valkey_along(folder: Path, port: int) -> None:
    async with serving(folder, port) as gateway:
        gateway.process.kill()
        await gateway.ended()


async def test_history_survives_a_restart(folder: Path, port: int, room: str) -> None:
    async with serving(folder, port) as gateway:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(f"http://127.0.0.1:{port}", wait_timeout=10)
            await client.call("join", {"username": "ada", "room": room}, timeout=10)
            sent = await client.call("send", {"username": "ada", "room": room, "message": "kept"}, timeout=10)
            assert sent["ok"] is True
        os.killpg(gateway.process.pid, signal.SIGINT)
        await gateway.ended()
    async with serving(folder, port), socketio.AsyncSimpleClient() as client:
        await client.connect(f"http://127.0.0.1:{port}", wait_timeout=10)
        await client.emit("join", {"username": "ada", "room": room})
        event, data = await client.receive(timeout=10)
        assert (event, data["message"], data["id"]) == ("receive", "kept", sent["id"])


async def test_ctrl_c_does_not_wait_for_members(folder: Path, port: int, room: str) -> None:
    clients = {transport: socketio.AsyncClient(reconnection=False) for transport in ("polling", "websocket")}
    async with serving(folder, port, GATEWAY_DRAIN_S="20") as gateway:
        for transport, client in clients.items():
            await client.connect(f"http://127.0.0.1:{port}", transports=[transport], wait_timeout=10)
            await client.call("join", {"username": "ada", "room": room}, timeout=10)
        os.killpg(gateway.process.pid, signal.SIGINT)
        assert await gateway.ended() == 0
    for client in clients.values():
        await client.disconnect()


async def test_a_second_gateway_on_the_same_state_folder_is_refused(folder: Path, port: int) -> None:
    async with serving(folder, port) as first:
        (folder / "second").mkdir()
        with started(
            folder / "second", "--port", "0", port=0, GATEWAY_STATE_DIR=str(folder / "state")
        ) as second:
            assert await second.ended() == 1
            error = second.text("err")
            assert "Another gateway keeps its data in" in error
            assert "GATEWAY_STATE_DIR" in error
            assert "Traceback" not in error
        assert (await fetch_json(f"http://127.0.0.1:{port}/readyz"))[0] == 200
        assert len(first.valkeys()) == 1


async def test_a_taken_port_ends_the_start_and_leaves_no_valkey(folder: Path, port: int) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    async with server:
        with started(folder, "--port", str(port), port=port) as gateway:
            await until(gateway.valkeys, READY_WITHIN_S, "Valkey runs")
            assert await gateway.ended() != 0
            assert "already in use" in gateway.text("err")


async def test_with_a_redis_given_none_is_started(folder: Path, port: int, redis_url: str) -> None:
    async with serving(folder, port, "serve", "--redis", redis_url) as gateway:
        assert gateway.valkeys() == []
        assert not (folder / "state").exists()


async def test_hup_replaces_the_workers_and_keeps_valkey(folder: Path, port: int) -> None:
    async with serving(folder, port) as gateway:
        before_valkey = gateway.valkeys()
        before = set(gateway.workers())
        gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: not before & set(gateway.workers()), READY_WITHIN_S, "the old workers have gone")
        await gateway.ready(workers=2)
        assert gateway.valkeys() == before_valkey


async def test_gunicorns_own_options_keep_working(folder: Path, port: int) -> None:
    async with serving(folder, port, GUNICORN_CMD_ARGS="--max-requests 3") as gateway:
        before = set(gateway.workers())

        async def asked_again() -> bool:
            await fetch_json(f"http://127.0.0.1:{port}/healthz")
            return bool(set(gateway.workers()) - before)

        await until(asked_again, READY_WITHIN_S, "a worker is replaced after its requests")


async def test_ctrl_c_on_a_terminal_stops_all_of_it(folder: Path, port: int) -> None:
    """A real terminal: its Ctrl-C goes to every process of the foreground group at once."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "--port", str(port)],
        env=environment(folder, TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- nothing else runs then
    )
    os.close(theirs)
    gateway, shown = Started(process, port, folder), bytearray()
    try:
        await until(
            lambda: _is_shown(ours, shown, b"gateway check"), READY_WITHIN_S, "the greeting on the terminal"
        )
        await gateway.ready(workers=2)
        assert b"embedded_valkey_started" in shown
        assert b'{"timestamp"' not in shown
        os.write(ours, b"\x03")
        async with Stopwatch() as watch:
            await until(lambda: _is_shown(ours, shown, b"embedded_valkey_stopped"), what="Valkey is stopped")
            assert await gateway.ended() == 0
        assert watch.calm_seconds < GONE_WITHIN_S
        assert b"Traceback" not in shown
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def _is_shown(terminal: int, shown: bytearray, word: bytes) -> bool:
    try:
        shown += os.read(terminal, 65_536)
    except BlockingIOError:
        pass  # nothing new
    except OSError:
        pass  # Linux: the other side has been closed
    return word in shown


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["--port", "chat"], {}, "--port='chat' is not allowed: a whole number from 0 to 65535"),
        (["serve", "--port", "70000"], {}, "--port='70000' is not allowed: a whole number from 0 to 65535"),
        (["serve", "--workers", "0"], {}, "--workers='0' is not allowed: a whole number from 1 to 1024"),
        (["serve", "--workers", ""], {}, "--workers needs a value."),
        (
            ["check", "--redis", "http://h"],
            {},
            "--redis='http://…' is not allowed: a URL such as redis://",
        ),
        (["serve"], {"PORT": "chat"}, "PORT='chat' is not allowed: a whole number from 0 to 65535"),
        (["serve"], {"WEB_CONCURRENCY": "many"}, "WEB_CONCURRENCY='many' is not allowed"),
        (["check"], {"REDIS_URL": "nowhere"}, "REDIS_URL='…' is not allowed: a URL such as redis://"),
        (
            ["serve"],
            {"REDIS_URL": "redis://:se/cret@h"},
            "REDIS_URL='redis://…' is not allowed: percent-encode",
        ),
        (
            ["serve"],
            {"REDIS_URL": "redis+sentinel://h:x"},
            "REDIS_URL='redis+sentinel://…' is not allowed: its port",
        ),
        (
            ["serve"],
            {"REDIS_URL": "rediss://h?ssl_ca_certs=/no"},
            "REDIS_URL='rediss://…' is not allowed: its certi",
        ),
        (
            ["serve"],
            {"GATEWAY_TRUSTED_PROXIES": "foo"},
            "GATEWAY_TRUSTED_PROXIES='foo' is not allowed: 'foo' is no",
        ),
        (
            ["serve"],
            {"GATEWAY_ORIGINS": "good.example"},
            "GATEWAY_ORIGINS='good.example' is not allowed: 'good.ex",
        ),
        (
            ["serve"],
            {"GATEWAY_ORIGIN": "x"},
            "GATEWAY_ORIGIN is no option of the gateway; did you mean GATEWAY_ORIG",
        ),
        (["serve"], {"GATEWAY_PROBE_S": "9"}, "GATEWAY_PROBE_S must be below GATEWAY_DEAF_S"),
    ],
)
def test_a_bad_value_is_one_sentence_and_exit_status_2(
    arguments: list[str], variables: dict[str, str], sentence: str, folder: Path
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"Error: {sentence}")


def test_the_procfiles_line_refuses_a_bad_value_with_a_sentence_too(folder: Path) -> None:
    command = ["-m", "gunicorn", "-c", "python:gateway.server.gunicorn_conf", "gateway.server.app:create_app"]
    ran = subprocess.run(
        [sys.executable, *command],
        env=environment(folder, GATEWAY_GRACE_S="soon"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert ran.stderr.strip() == "Error: GATEWAY_GRACE_S='soon' is not allowed: seconds from 0 to 3600"


@pytest.mark.parametrize(
    ("run_dir", "mode", "sentence"),
    [("open", 0o755, "a private folder"), ("long" * 20, 0o700, "at most 70 bytes")],
)
def test_a_socket_folder_that_is_open_or_too_deep_is_refused(
    folder: Path, run_dir: str, mode: int, sentence: str
) -> None:
    (folder / run_dir).mkdir(mode=mode)
    ran = subprocess.run(
        [sys.executable, "-m", "gateway", "--port", "0", "--redis", "redis://127.0.0.1:1"],
        env=environment(folder, GATEWAY_RUN_DIR=str(folder / run_dir)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
