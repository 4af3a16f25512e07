"""What a request to the server API is answered: status, headers and body, from the one error table.

Functions of values. Never 200 with an error inside, but for the items of `batch` and `broadcast`.
"""

from __future__ import annotations

from math import ceil

import orjson
from aiohttp import web

from gateway.protocol import ERRORS, Refusal
from gateway.transport.paths import BLAMELESS

HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer. None of them lets a page of another origin read it: no browser is to call this API."""

STATUS_OF_REASON = {"key_reused": 409, "method_not_allowed": 405, "content_type": 415}
"""Where the reason says more than the code."""

RETRY_AFTER_S = 1
"""When to try again what can pass, if nobody knows better."""

STATUSES = (200, 400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503)
"""All that there are."""


def answered(body: bytes) -> web.Response:
    """What a method answers."""
    return web.Response(body=body, headers=HEADERS)


def refused(refusal: Refusal, is_blameless: bool) -> web.Response:
    """Why not; `is_blameless` if whoever asked has shown a key."""
    status = status_of(refusal)
    response = web.Response(status=status, body=orjson.dumps(refusal.as_error()), headers=HEADERS)
    if is_blameless:
        response[BLAMELESS] = True
    if status in (429, 503):
        retry_after_ms = refusal.about.get("retry_after_ms")
        response.headers["Retry-After"] = str(
            ceil(retry_after_ms / 1000) if retry_after_ms else RETRY_AFTER_S
        )
    elif status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif status == 405:
        response.headers["Allow"] = "POST"
    return response


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    by_reason = STATUS_OF_REASON.get(refusal.about.get("reason", ""))
    return by_reason or ERRORS[refusal.code].http_status
