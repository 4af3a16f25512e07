"""Log lines: one shape for ours and for the standard library's, on standard error."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gateway.server.logs import stamp

OURS_AND_THEIRS = """
import logging
from gateway.server import logs
from gateway.settings import Settings

log = logs.get_logger("ours")
logs.configure(Settings.from_environment().log)
log.debug("not_shown")
log.info("member_joined", room="lobby", tags={1: b"x"})
logging.getLogger("aiohttp.server").warning("Odd request from %s", "somewhere", extra={"kept": "out"})
logging.getLogger("asyncio").debug("not shown either")
try:
    1 / 0
except ZeroDivisionError:
    secret = "secret-word"
    log.exception("it_broke")
    logging.getLogger("gunicorn.error").exception("Theirs broke")
"""

BROKEN_REQUESTS = """
import asyncio
from aiohttp import web
from gateway.server import logs
from gateway.settings import Settings

logs.configure(Settings.from_environment().log)

async def read(request):
    await request.read()

async def fail(request):
    raise RuntimeError("a fault of ours")

async def main():
    app = web.Application()
    app.router.add_post("/", read)
    app.router.add_get("/fail", fail)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    chunked = b"POST / HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nnot a length\\r\\n"
    odd = b"G@T /?sid=secret-word HTTP/1.1\\r\\n\\r\\n", b"GET /?sid=secret-word HTTP/x\\r\\n\\r\\n"
    for request in (b"not HTTP\\r\\n\\r\\n", *odd, chunked, b"GET /fail HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"):
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(request)
        await asyncio.wait_for(reader.readuntil(b"\\r\\n\\r\\n"), 10)
        writer.close()
    await leave_early(runner)
    await runner.cleanup()

async def leave_early(runner):
    known = set(runner.server.connections)
    _, writer = await asyncio.open_connection(*runner.addresses[0])
    async with asyncio.timeout(10):
        while not (new := set(runner.server.connections) - known):
            await asyncio.sleep(0)
    (handler,) = new
    head = b"POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 5\\r\\nExpect: 100-continue\\r\\n\\r\\n"
    handler.data_received(head)
    handler.transport.close()
    await asyncio.wait_for(handler._task_handler, 10)
    writer.close()

asyncio.run(main())
"""


def lines_of(log_format: str, level: str = "info", program: str = OURS_AND_THEIRS) -> list[str]:
    """What a process of its own writes to standard error; nothing may go to standard output."""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"GATEWAY_LOG_FORMAT": log_format, "GATEWAY_LOG_LEVEL": level},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout == ""
    return ran.stderr.splitlines()


@pytest.mark.system
def test_without_a_terminal_each_line_is_a_json_object_with_the_same_head() -> None:
    lines = [json.loads(line) for line in lines_of("auto")]
    assert [line["event"] for line in lines] == [
        "member_joined",
        "Odd request from somewhere",
        "it_broke",
        "Theirs broke",
    ]
    assert [line["level"] for line in lines] == ["info", "warning", "error", "error"]
    assert [line["logger"] for line in lines] == ["ours", "aiohttp.server", "ours", "gunicorn.error"]
    assert lines[0]["room"] == "lobby"
    for line in lines:
        assert list(line)[:4] == ["timestamp", "level", "event", "pid"]
        age = datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])
        assert 0 <= age.total_seconds() < 60


@pytest.mark.system
def test_an_exception_is_one_json_line_with_its_traceback_and_no_local_variables() -> None:
    for line in [json.loads(line) for line in lines_of("json")][-2:]:
        assert "ZeroDivisionError" in line["exception"]
        assert "secret-word" not in line["exception"]


@pytest.mark.system
def test_for_people_a_line_reads_as_words() -> None:
    lines = lines_of("console")
    assert "member_joined" in lines[0]
    assert "room=lobby" in lines[0]
    assert any("ZeroDivisionError" in line for line in lines)
    assert not any("secret-word" in line for line in lines)


@pytest.mark.system
def test_lines_below_the_level_are_left_out() -> None:
    assert [json.loads(line)["event"] for line in lines_of("json", "error")] == ["it_broke", "Theirs broke"]


def test_the_stamp_puts_time_level_event_and_process_first() -> None:
    stamped = stamp(logging.getLogger(), "info", {"room": "lobby", "event": "member_joined"})
    assert list(stamped) == ["timestamp", "level", "event", "pid", "room"]


@pytest.mark.system
def test_requests_that_are_not_http_are_a_line_each_and_no_fault_of_ours() -> None:
    *broken, ours, early = [json.loads(line) for line in lines_of("json", program=BROKEN_REQUESTS)]
    assert broken, "they are told of"
    assert "closing transport" in early["event"], "it left before it was told to continue"
    broken.append(early)
    for line in broken:
        assert (line["level"], line["logger"]) == ("info", "aiohttp.server")
        assert "exception" not in line
        assert len(line["event"]) < 400
        assert "secret-word" not in str(line)
    assert ours["level"] == "error"
    assert "a fault of ours" in ours["exception"]


@pytest.mark.system
def test_above_info_requests_that_are_not_http_are_not_told_of() -> None:
    (ours,) = [json.loads(line) for line in lines_of("json", "warning", BROKEN_REQUESTS)]
    assert "a fault of ours" in ours["exception"]


@pytest.mark.system
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_gunicorns_own_lines_have_our_format(log_format: str) -> None:
    code = (
        "from gunicorn.config import Config\n"
        "from gateway.server.logs import GunicornLogger\n"
        "GunicornLogger(Config()).error('Worker %s left', 7)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"GATEWAY_LOG_FORMAT": log_format},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (line,) = ran.stderr.splitlines()
    if log_format == "json":
        assert json.loads(line)["event"] == "Worker 7 left"
    else:
        assert "Worker 7 left" in line
        assert "gunicorn.error" in line


TOGETHER = """
import asyncio, sys
from gateway.server import logs
from gateway.settings import Settings

log = logs.get_logger("ours")
logs.configure(Settings.from_environment().log)
writes, buffer = [], sys.stderr.buffer

class Counted:
    def write(self, data):
        writes.append(data)
        return buffer.write(data)

class Error:
    buffer = Counted()
    def write(self, text): return sys.__stderr__.write(text)
    def flush(self): sys.__stderr__.flush()

sys.stderr = Error()

async def main():
    for number in range(100):
        log.info("member_joined", number=number)
    log.warning("at_once", number=100)
    assert writes[-1].endswith(b"}\\n") and b"at_once" in writes[-1], writes[-1]
    assert len(writes) <= 8, len(writes)
    assert all(len(each) <= 4096 and each.endswith(b"}\\n") for each in writes)
    log.info("later", number=101)
    known = len(writes)
    for _ in range(500):
        if len(writes) > known:
            break
        await asyncio.sleep(0.01)
    assert len(writes) == known + 1
    log.info("before_the_end", number=102)

asyncio.run(main())
log.info("without_a_loop", number=103)

async def last():
    log.info("the_last", number=104)

asyncio.run(last())
"""


@pytest.mark.system
def test_lines_that_come_together_are_written_together_in_their_order() -> None:
    lines = [json.loads(line) for line in lines_of("json", program=TOGETHER)]
    assert [line["number"] for line in lines] == list(range(105))
