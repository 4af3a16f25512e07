"""Log lines: readable on a terminal, one JSON object per line otherwise, always to standard error.

Owns the set-up of structlog and of the standard library's logging, so that the lines of gunicorn, aiohttp,
asyncio and python-socketio look like ours. Promises a UTC timestamp, the level, the event and the process id
in each line, that a line below the level costs one call and nothing more, and that a line never fails whoever writes
it: what is no text is escaped, and what a full disk does not take is lost. How many were lost is the only thing that it
logs by itself.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from datetime import datetime
from typing import Any, cast

import orjson
import structlog
from gunicorn.glogging import Logger
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from gateway.option_groups import LogOptions
from gateway.server.log_lines import StandardError, write_waiting
from gateway.settings import Settings

ACCESS_FIELDS = ("method", "path", "transport", "status", "bytes", "duration_ms", "remote", "agent")
"""What a line of the access log has; other records of the standard library show nothing but their message."""

_process = {"pid": os.getpid()}  # asking the kernel for each line cost a twentieth of a connection's CPU
os.register_at_fork(after_in_child=lambda: _process.update(pid=os.getpid()))


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry `logger=name`.

    Events are snake_case words and the rest is named: `log.info("member_joined", room=room)`. May be made
    before `configure`; it takes its shape when it is first used.
    """
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def configure(options: LogOptions) -> None:
    """Sets up all logging of this process; may be called again."""
    level = logging.getLevelNamesMapping()[options.level.upper()]
    *others, last = _last_processors(options.format)
    structlog.configure(
        processors=[_with_name, stamp, *others, _as_json_bytes if last is _as_json else last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=StandardError,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_CurrentStandardError())
    handler.setFormatter(formatter(options.format))
    handler.addFilter(BrokenRequests())
    logging.basicConfig(handlers=[handler], level=level, force=True)


def formatter(log_format: str) -> logging.Formatter:
    """A formatter that gives the standard library's records the same look."""
    return ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(allow=ACCESS_FIELDS),
        ],
        processors=[ProcessorFormatter.remove_processors_meta, stamp, *_last_processors(log_format)],
    )


def stamp(_logger: WrappedLogger, level: str, line: EventDict) -> EventDict:
    """Puts time, level, event and process id first."""
    first = {"timestamp": _now(), "level": level, "event": line.pop("event"), "pid": _process["pid"]}
    first.update(line)
    return first


def _now() -> str:
    """The time in UTC, with milliseconds. Its seconds are written once a second: a client that connects makes two
    lines, and `datetime` takes 5 µs for each."""
    second, ms = divmod(time.time_ns() // 1_000_000, 1000)
    if second != _second.number:
        _second.number, _second.text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return f"{_second.text}.{ms:03d}Z"


class _Second:
    """The second that was written last."""

    number, text = -1, ""


_second = _Second()


def _with_name(logger: WrappedLogger, _level: str, line: EventDict) -> EventDict:
    line["logger"] = logger.name
    return line


def _last_processors(log_format: str) -> list[Processor]:
    is_terminal = sys.stderr.isatty()
    if log_format == "console" or (log_format == "auto" and is_terminal):
        # Plain tracebacks: richer ones print local variables, and those hold message texts and tokens.
        return [structlog.processors.format_exc_info, ForPeople(is_terminal)]
    return [structlog.processors.format_exc_info, _as_json]


_LEVELS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m", "debug": "\x1b[2m"}
_FIRST = ("timestamp", "level", "event", "exception")
_ON_NO_TERMINAL = ("pid", "logger")
"""What a line on a terminal leaves out, so that it fits."""


class ForPeople:
    """Writes a line to be read: on a terminal short, with the time of day; elsewhere with all that JSON has. Colours
    only on a terminal, and not where NO_COLOR is set."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._is_coloured = is_terminal and not os.environ.get("NO_COLOR")

    def __call__(self, _logger: WrappedLogger, _level: str, line: EventDict) -> str:
        left_out = (*_FIRST, *(_ON_NO_TERMINAL if self._is_terminal else ()))
        more = " ".join(f"{name}={_shown(value)}" for name, value in line.items() if name not in left_out)
        at = datetime.now().strftime("%H:%M:%S") if self._is_terminal else line["timestamp"]
        level = f"{line['level']:<8}"
        if self._is_coloured:
            at, level = f"\x1b[2m{at}\x1b[0m", f"{_LEVELS.get(line['level'], '')}{level}\x1b[0m"
        exception = f"\n{line['exception']}" if "exception" in line else ""
        return f"{at} {level} {line['event']}  {more}".rstrip() + exception


def _shown(value: object) -> str:
    """A value as one word, or quoted where it is not; what moves a cursor is escaped."""
    text = str(value)
    return text if text and text.isprintable() and not {" ", '"', "="} & set(text) else repr(text)


def _as_json(logger: WrappedLogger, level: str, line: EventDict) -> str:
    return _as_json_bytes(logger, level, line).decode()


def _as_json_bytes(_logger: WrappedLogger, _level: str, line: EventDict) -> bytes:
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair: aiohttp makes one of each byte of a header that is not UTF-8
        return orjson.dumps({name: _escaped(value) for name, value in line.items()})


def _escaped(value: object) -> object:
    """A value that orjson takes, whatever it was."""
    is_number = isinstance(value, float) or (isinstance(value, int) and -_INT64 < value < _INT64)
    if value is None or is_number:
        return value
    return str(value).encode(errors="backslashreplace").decode()


class _CurrentStandardError:
    """Standard error as it is when a line is written, not as it was at the start."""

    def write(self, text: str) -> None:
        write_waiting()
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


_INT64 = 2**63
"""orjson writes no whole number from here on."""


class BrokenRequests(logging.Filter):
    """Makes one line of level INFO of what aiohttp logs as an error with a traceback: requests that are not HTTP, and
    clients that left before they could be answered (`Expect: 100-continue` is answered at once).

    Anybody on the internet can send those; they say nothing about the gateway.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the record; False when INFO is not wanted."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not _is_of_a_broken_request(error):
            return True
        # What aiohttp quotes of the request may be an address with a session's id or a token.
        reason = " ".join(re.split("b?['\"]", str(error))[0].split())
        record.msg, record.args = f"{record.getMessage()}: {reason[:200]}", ()
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
        return logging.getLogger().isEnabledFor(logging.INFO)


def _is_of_a_broken_request(error: BaseException) -> bool:
    """Whether aiohttp raised it for what a client sent. gunicorn's master, which logs too, must not import aiohttp: its
    workers would have that version after every reload."""
    if "aiohttp.web" not in sys.modules:
        return False
    from aiohttp import ClientConnectionResetError
    from aiohttp.http_exceptions import HttpProcessingError
    from aiohttp.web import RequestPayloadError

    return isinstance(error, HttpProcessingError | RequestPayloadError | ClientConnectionResetError)


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger with our format; its own options for levels and files keep working."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn at the start and at each reload."""
        super().setup(cfg)
        ours = formatter(Settings.from_environment().log.format)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(ours)
                handler.addFilter(BrokenRequests())
