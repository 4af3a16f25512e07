"""Log lines that cannot be written: they are lost, or escaped, and whoever wrote them goes on."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.server import greeting
from gateway.settings import Settings
from tests.support.clients import Member
from tests.support.gateways import COMMAND, Gateway
from tests.support.servers import Valkey
from tests.support.waiting import until

GREETED = Settings.from_environment({}).server
PROGRAM = """
import logging, os
from gateway.server import logs
from gateway.settings import Settings

log = logs.get_logger("ours")
logs.configure(Settings.from_environment().log)
log.info("request_refused", agent="a\\udcff", bits=2**80, ms=1.5, tags={"b": "\\udcff"})
logging.getLogger("gunicorn.access").info("http_request", extra={"agent": "\\udcff"})
kept, full = os.dup(2), os.open("/dev/full", os.O_WRONLY)
os.dup2(full, 2)
for number in range(1000):
    log.warning("worker_not_ready", why="x" * 100)
    logging.getLogger("theirs").warning("Odd request")
os.dup2(kept, 2)
log.info("worker_ready")
log.info("member_joined")
"""


@pytest.mark.system
def test_a_line_is_written_whatever_is_in_it_and_lost_where_the_disk_is_full() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    odd, theirs, *rest = [json.loads(line) for line in ran.stderr.splitlines()]
    assert (odd["agent"], odd["bits"], odd["ms"]) == (r"a\udcff", str(2**80), 1.5)
    assert (odd["event"], odd["logger"]) == ("request_refused", "ours")
    assert theirs["agent"] == r"\udcff"
    events = [line["event"] for line in rest]
    assert events[-3:] == ["worker_ready", "log_lines_lost", "member_joined"]
    assert rest[-2]["lines"] == 1000
    assert len(rest) < 103, "what was kept for the full disk is bounded: a buffer of 8 KiB"


class Full(io.StringIO):
    """A stream that takes nothing."""

    def flush(self) -> None:
        """What a full disk answers."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_people_are_told_at_the_start_is_lost_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeting.leave(str(tmp_path), ["http://localhost:8006"], GREETED, worker_count=2)
    monkeypatch.setattr(sys, "stdout", Full())
    greeting.say(str(tmp_path))
    assert not list(tmp_path.iterdir())


class OntoAFullDisk(Gateway):
    """A gateway whose standard output and standard error take nothing."""

    async def start(self) -> None:
        """Starts it behind a shell that sends both there."""
        self._command = ("/bin/sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh", sys.executable, *COMMAND)
        await super().start()


@pytest.mark.system
@pytest.mark.long
async def test_a_gateway_whose_log_is_a_full_disk_serves_and_finds_its_redis_again() -> None:
    valkey = Valkey()
    try:
        await valkey.start()
        async with (
            OntoAFullDisk(valkey.url, workers=1) as gateway,
            await Member.connect(gateway.url) as member,
        ):
            assert (await member.join("ann", "tea"))["ok"]
            valkey.kill()
            await until(lambda: _is_refused(gateway), what="not ready without Redis")
            await valkey.start()
            await until(gateway.is_ready, what="ready again")
            assert (await member.send("tea", "all is well"))["ok"]
    finally:
        valkey.close()


async def _is_refused(gateway: Gateway) -> bool:
    return (await gateway.readiness())[0] == 503
