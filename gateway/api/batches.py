"""Several commands in one request: `batch`. One that fails does not stop the others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson

from gateway.api.fields import ROOMS_MAX
from gateway.api.parts import Caller, Parts, Result
from gateway.api.requests import Batch
from gateway.protocol import Refusal

BATCH_S = 8.0
"""No command of a batch is begun later: its connection waits, and Redis is slow."""


async def batch(parts: Parts, caller: Caller, request: Batch) -> Result:
    """The answers stand in the order of the commands; one that was refused has a `code`."""
    if _rooms_in(request.commands) > ROOMS_MAX:
        raise Refusal("too_large", f"A batch names at most {ROOMS_MAX:,} rooms.")
    if request.parallel:
        done = await asyncio.gather(*(_answer(caller, command) for command in request.commands))
    else:
        done = await _one_by_one(caller, request.commands)
    if all(code == "unavailable" for _, code in done):
        raise Refusal("unavailable")
    return b'{"results":[%b]}' % b",".join(answer for answer, _ in done)


def _rooms_in(commands: tuple[Any, ...]) -> int:
    return sum(_rooms_of(command) for command in commands)


def _rooms_of(command: Any) -> int:
    rooms = command.get("rooms") if isinstance(command, dict) else None
    return len(rooms) if isinstance(rooms, list) else 1


async def _one_by_one(caller: Caller, commands: tuple[Any, ...]) -> list[tuple[bytes, str]]:
    until_s = time.monotonic() + BATCH_S
    done = []
    for command in commands:
        is_late = time.monotonic() > until_s
        done.append(_refused(Refusal("unavailable")) if is_late else await _answer(caller, command))
    return done


async def _answer(caller: Caller, command: Any) -> tuple[bytes, str]:
    """What a command is answered, and the code if it was refused."""
    try:
        if not isinstance(command, dict):
            raise Refusal("bad_request", "A command must be a JSON object with 'method' and its fields.")
        fields = {name: value for name, value in command.items() if name != "method"}
        if command.get("method") == "batch":
            raise Refusal("bad_request", "A batch cannot hold another one.")
        return await caller.call(command.get("method"), fields), ""
    except Refusal as refusal:
        return _refused(refusal)


def _refused(refusal: Refusal) -> tuple[bytes, str]:
    return orjson.dumps(refusal.as_error()), refusal.code
