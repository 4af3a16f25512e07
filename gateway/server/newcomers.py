"""New sessions: how many a second are let in, and what those are answered that are not.

Functions of values.
"""

from __future__ import annotations

import time

from aiohttp import web

from gateway.access.limits import Bucket
from gateway.admission import WAIT_MAX_S, AdmissionControl
from gateway.transport.answers import REASON

COME_BACK_S = 2
"""Retry-After of a handshake that was refused: what is in the queue is let in or refused within a second."""

BURST_S = 0.1
"""New sessions of so much time may come at once."""


def admission_of(handshakes_per_s: int) -> AdmissionControl:
    """At most so many new sessions a second, those of `BURST_S` at once; 0 is no limit. Whoever would have to wait for
    longer than is allowed is refused at once."""
    if handshakes_per_s == 0:
        return AdmissionControl()
    bucket = Bucket(handshakes_per_s, max(1.0, handshakes_per_s * BURST_S), time.monotonic())
    return AdmissionControl(bucket.take, handshakes_per_s * WAIT_MAX_S)


def come_back(why: str, after_s: int, status: int = 503) -> web.Response:
    """The answer that refuses a new session for now, in the words of `gateway_requests_refused_total`."""
    body = {"code": status, "message": why}
    refusal = web.json_response(body, status=status, headers={"Retry-After": str(after_s)})
    refusal[REASON] = why.replace(" ", "_")
    return refusal


def banned() -> web.Response:
    """The answer that refuses a new session of a banned address."""
    refusal = web.json_response({"code": 403, "message": "banned"}, status=403)
    refusal[REASON] = "banned"
    return refusal
