"""One call of a method: may this key, what does it ask, and what comes of it.

Promises that a call ends within `CALL_S`, in an answer or in a `Refusal` whose code stands in the error table, whatever
the caller says and whatever Redis does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from gateway.access.api_keys import ApiKey
from gateway.api.fields import parse
from gateway.api.methods import METHODS, Method, Rooms
from gateway.api.parts import Parts
from gateway.errors import StoreError, StoreUnavailable
from gateway.protocol import Refusal

log = structlog.get_logger("gateway.api")

CALL_S = 10.0
"""Longest call: what a slow Redis has not answered by then is `unavailable`."""


class Calls:
    """Calls methods."""

    def __init__(self, parts: Parts, methods: Mapping[str, Method] = METHODS) -> None:
        self._parts = parts
        self._methods = methods

    def method(self, name: object) -> Method:
        """The method of that name. Raises Refusal."""
        found = self._methods.get(name) if isinstance(name, str) else None
        if found is None:
            raise Refusal("not_found", f"There is no method {str(name)[:64]!r}.")
        return found

    async def call(self, method: Method, key: ApiKey, data: Any) -> bytes:
        """Calls a method with what came as JSON; returns its answer as JSON. Raises Refusal."""
        try:
            refuse_without_scope(method, key)
            request = parse(method.request, data, self._parts.sizes)
            if method.rooms is not Rooms.EACH:
                _refuse_outside(method, key, getattr(request, "room", None))
            async with asyncio.timeout(CALL_S):
                result = await method.run(self._parts, _Calling(self, key), request)
            return result if isinstance(result, bytes) else orjson.dumps(result)
        except (StoreUnavailable, TimeoutError) as error:
            raise Refusal("unavailable") from error
        except Refusal:
            raise
        except StoreError as error:  # one that trying again does not change: a key of another type, say
            log.error("api_call_refused", method=method.name, key=key.name, reason=str(error))
            raise Refusal("internal") from error
        except Exception as error:
            log.exception("api_call_failed", method=method.name, key=key.name)
            raise Refusal("internal") from error


class _Calling:
    """One caller, for methods that call others."""

    def __init__(self, calls: Calls, key: ApiKey) -> None:
        self.key = key
        self._calls = calls

    async def call(self, name: object, data: Any) -> bytes:
        """Calls another method for the same key."""
        return await self._calls.call(self._calls.method(name), self.key, data)


def refuse_without_scope(method: Method, key: ApiKey) -> None:
    """Raises Refusal for a key that may not call the method in any room."""
    if method.scope and method.scope not in key.scopes:
        raise Refusal("forbidden", f"This key has not the scope {method.scope!r}.", scope=method.scope)


def _refuse_outside(method: Method, key: ApiKey, room: str | None) -> None:
    if method.scope and not key.allows(method.scope, room):
        what = "for that room" if room is not None else "for all rooms, which this needs"
        raise Refusal("forbidden", f"This key is not {what}.", scope=method.scope)
