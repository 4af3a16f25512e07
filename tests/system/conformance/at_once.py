"""How soon the server closes for what it is sent, counted in answers that a bystander gets meanwhile.

A machine that stands still holds up both, so that the count says the same; a server that waits for one of its
time-outs, two seconds or more, answers a bystander thousands of times before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from tests.system.conformance.wire import Socket

ANSWERS_MAX = 300
"""Answers to a bystander, one asked for after the other, until a connection is closed: it was 40 where a request was
passed between four workers on two cores; a delay of 0.1 s is found."""
WITNESSES_AT_ONCE, WITNESSES_MAX = 8, 200
"""Connections that are tried until one is at the same worker. Some at the same time: where one follows the other, the
workers' turns may follow each other alike, and a hundred in a row never met one of four."""

Result = TypeVar("Result")


async def at_once(witness: Socket, ends: Awaitable[Result]) -> Result:
    """What `ends` returns, which the server is to bring about at once; raises AssertionError when it answered the
    bystander many times meanwhile."""
    ending = asyncio.ensure_future(ends)
    answers = 0
    try:
        while not ending.done():
            await witness.send(f'42["message",{answers}]')
            assert await witness.receive_answering() == f'42["message-back",{answers}]'
            answers += 1
            assert ending.done() or answers < ANSWERS_MAX, f"not before a bystander had {answers} answers"
    finally:
        ending.cancel()
        await asyncio.wait((ending,))
    return ending.result()


async def witness_beside(web: aiohttp.ClientSession, address: str, other: Socket) -> Socket:
    """A bystander at the worker that has another connection."""
    for _ in range(WITNESSES_MAX // WITNESSES_AT_ONCE):
        met = await asyncio.gather(*(Socket.connect(web, address) for _ in range(WITNESSES_AT_ONCE)))
        there = [each for each in met if each.worker == other.worker]
        for each in met:
            if each not in there[:1]:
                await each.close()
        if there:
            return there[0]
    raise AssertionError(f"none of {WITNESSES_MAX} connections reached worker {other.worker!r}")


async def assert_closed_at_once(
    web: aiohttp.ClientSession,
    address: str,
    start: Callable[[], Awaitable[Socket]],
    *messages: str | bytes,
) -> None:
    """The server closes a connection at once for what it is sent."""
    socket = await start()
    witness = await witness_beside(web, address, socket)
    try:
        await socket.send(*messages)
    except ConnectionError:
        pass  # closed before all of it was sent
    await at_once(witness, socket.closed_after_s())
    await witness.close()
