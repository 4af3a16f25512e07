"""Moderation through the server API: what `chat/moderation.py` does, in the name of the key or of whom it names."""

from __future__ import annotations

from gateway.api.moderation_requests import (
    AboutSomebody,
    Close,
    Edit,
    InRoom,
    Kick,
    Mute,
    Redact,
    Reopen,
    Slow,
    Unmute,
)
from gateway.api.parts import Caller, Parts, Result
from gateway.chat.moderation import Outcome
from gateway.moderation_events import Target
from gateway.protocol import Refusal


async def redact(parts: Parts, caller: Caller, request: Redact) -> Result:
    """Members are told by `changed`."""
    return {"at": await parts.moderation.redact(_by(caller, request), request.room, request.id)}


async def edit(parts: Parts, caller: Caller, request: Edit) -> Result:
    """Members are told by `changed`."""
    by = _by(caller, request)
    return {"at": await parts.moderation.edit(by, request.room, request.id, request.message)}


async def kick(parts: Parts, caller: Caller, request: Kick) -> Result:
    """The user is told by `removed`."""
    for_s, reason = request.for_s or 0.0, request.reason or ""
    by, target = _by(caller, request), _target(request)
    return _answer(await parts.moderation.kick(by, request.room, target, for_s, reason))


async def mute(parts: Parts, caller: Caller, request: Mute) -> Result:
    """What the user says is refused from now on."""
    by, target = _by(caller, request), _target(request)
    return _answer(await parts.moderation.mute(by, request.room, target, request.for_s))


async def unmute(parts: Parts, caller: Caller, request: Unmute) -> Result:
    """Does nothing for who is not muted."""
    return _answer(await parts.moderation.unmute(_by(caller, request), request.room, _target(request)))


async def slow(parts: Parts, caller: Caller, request: Slow) -> Result:
    """Counts from the next message on."""
    by = _by(caller, request)
    return _answer(await parts.moderation.slow(by, request.room, request.seconds, request.for_s))


async def close(parts: Parts, caller: Caller, request: Close) -> Result:
    """Members are told by `removed`."""
    by, reason = _by(caller, request), request.reason or ""
    return _answer(await parts.moderation.close(by, request.room, request.for_s, reason))


async def reopen(parts: Parts, caller: Caller, request: Reopen) -> Result:
    """Does nothing for a room that is open."""
    return _answer(await parts.moderation.reopen(_by(caller, request), request.room))


def _by(caller: Caller, request: InRoom) -> str:
    return request.by or caller.key.name


def _target(request: AboutSomebody) -> Target:
    if (request.user is None) == (request.username is None):
        raise Refusal("bad_request", "Name the 'user', or for a guest the 'username'.")
    return Target(request.user or "", request.username or "")


def _answer(outcome: Outcome) -> Result:
    until = {"until": outcome.until_ms} if outcome.until_ms else {}
    return {"sessions": outcome.sessions, **until}
