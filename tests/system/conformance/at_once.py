"""How soon the server closes for what it is sent: the best of a few tries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.system.conformance.wire import LIMIT_S, Socket

AT_ONCE_S = 0.1
"""What is promised for malformed input. The shortest time that the engine waits for anything is two seconds."""
TRIES = 10
"""A busy machine may hold up one try by more than the limit; a server that waits for a time-out, all of them."""


async def best_of_tries(one: Callable[[], Awaitable[float]]) -> float:
    """The least seconds of a few tries; the first below `AT_ONCE_S` will do."""
    best_s = LIMIT_S
    for _ in range(TRIES):
        best_s = min(best_s, await one())
        if best_s < AT_ONCE_S:
            break
    return best_s


async def is_closed_at_once(start: Callable[[], Awaitable[Socket]], *messages: str | bytes) -> bool:
    """Whether the server closes a connection at once for what it is sent."""

    async def one() -> float:
        socket = await start()
        try:
            await socket.send(*messages)
        except ConnectionError:
            pass  # closed before all of it was sent
        return await socket.closed_after_s()

    return await best_of_tries(one) < AT_ONCE_S
