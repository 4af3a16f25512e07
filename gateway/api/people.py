"""What is done about people through the server API: `disconnect`, `revoke`, `ban` and `unban`.

Revocations and bans are state first, and then a word to all workers (`state/revocations.py`): a worker that misses the
word finds the state changed with its next heartbeat. A disconnect is only the word.
"""

from __future__ import annotations

from gateway.api.parts import Caller, Parts, Result
from gateway.api.requests import Ban, Disconnect, Revoke, Unban
from gateway.protocol import Refusal
from gateway.state import revocations
from gateway.state.revocations import BAN, NETWORK, NEVER_S, Change, TooManyEntries


async def disconnect(parts: Parts, caller: Caller, request: Disconnect) -> Result:
    """Asked of all workers."""
    await parts.control.disconnect(request.user, request.reconnect, request.code or "")
    return {}


async def revoke(parts: Parts, caller: Caller, request: Revoke) -> Result:
    """Tokens that the user gets from now on count."""
    if (request.user is None) == (request.jti is None):
        raise Refusal("bad_request", "Name the 'user' whose tokens are revoked, or the 'jti' of one.")
    now_s = parts.clock()
    if request.user is not None:
        if request.until is not None:
            raise Refusal("bad_request", "'until' goes with 'jti'.")
        change = revocations.tokens_until(request.user, now_s, parts.token_life_s)
    else:
        change = revocations.token(request.jti or "", request.until or now_s + parts.token_life_s)
    return await _change(parts, change, now_s)


async def ban(parts: Parts, caller: Caller, request: Ban) -> Result:
    """Its sessions are ended, too."""
    now_s = parts.clock()
    if request.until is not None and request.until <= now_s:
        raise Refusal("bad_request", "'until' is over already.")
    end_s = NEVER_S if request.until is None else request.until
    return await _change(parts, Change(_banned(request), revocations.until(end_s)), now_s)


async def unban(parts: Parts, caller: Caller, request: Unban) -> Result:
    """Does nothing for who is not banned."""
    return await _change(parts, Change(_banned(request)), parts.clock())


def _banned(request: Ban | Unban) -> str:
    if (request.user is None) == (request.ip is None):
        raise Refusal("bad_request", "Name the 'user', or the 'ip'.")
    return BAN + request.user if request.user is not None else NETWORK + (request.ip or "")


async def _change(parts: Parts, change: Change, now_s: float) -> Result:
    try:
        await parts.revocations.change([change], now_s)
    except TooManyEntries as full:
        raise Refusal("bad_request", str(full), reason="too_many_entries") from full
    return {}
