"""New sessions: who may begin one on this worker, how many a second, and what those are answered that may not."""

from __future__ import annotations

import time

from aiohttp import web

from gateway.access.addresses import Addresses
from gateway.access.rates import Bucket, Rate
from gateway.access.revocations import Revocations
from gateway.admission import WAIT_MAX_S, AdmissionControl
from gateway.server.health import Health
from gateway.transport.answers import REASON
from gateway.transport.server import EngineServer

COME_BACK_S = 2
"""Retry-After of a handshake that was refused: what is in the queue is let in or refused within a second."""

BURST_S = 0.1
"""New sessions of so much time may come at once."""


class Newcomers:
    """The handshakes of one worker."""

    def __init__(self, health: Health, addresses: Addresses, revocations: Revocations) -> None:
        self._health = health
        self._addresses = addresses  # what comes from each
        self._revocations = revocations  # who is refused, whatever they show

    async def admit(self, engine: EngineServer, request: web.Request) -> web.Response | None:
        """Refuses a new handshake while draining, of a banned address, or of an address from which too many come; lets
        one wait in a storm, and refuses it when that takes too long."""
        if self._health.is_draining:  # another worker takes it, and counts it
            return come_back("draining", 1)
        address = engine.client_address(request)
        if self._revocations.refuses_address(address, time.time()):
            return banned()
        if self._health.lacks_keys:
            return come_back("no keys for tokens", COME_BACK_S)
        if "X-Forwarded-For" in request.headers and address == request.remote:
            self._addresses.tell_of_proxy(address)
        if after_s := self._addresses.handshake(address, time.monotonic()):
            return come_back("too many from address", after_s, 429)
        is_admitted = engine.admission.admit()
        if not (is_admitted is True or (is_admitted is not False and await is_admitted)):
            return come_back("too many new connections", COME_BACK_S)
        after_s = self._addresses.has_room(address)
        return come_back("too many from address", after_s, 429) if after_s else None


def admission_of(handshakes_per_s: int) -> AdmissionControl:
    """At most so many new sessions a second, those of `BURST_S` at once; 0 is no limit. Whoever would have to wait for
    longer than is allowed is refused at once."""
    if handshakes_per_s == 0:
        return AdmissionControl()
    bucket = Bucket(Rate.of(handshakes_per_s, max(1.0, handshakes_per_s * BURST_S)))
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
