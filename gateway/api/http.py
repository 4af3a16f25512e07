"""The server API over HTTP: `POST <prefix>/api/v1/<method>`, JSON in and out.

Owns who may ask (a key, in a header, never in the address), what a request must look like, and how much is held. The
key comes first: who shows none learns nothing. Promises that every request is answered, whatever it holds, by a status
that means something, and that a body is read only for who has shown a key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog
from aiohttp import web

from gateway.access.addresses import Addresses
from gateway.access.api_keys import ApiKey, ApiKeys
from gateway.api.answers import answered, refused, status_of
from gateway.api.calls import Calls, refuse_without_scope
from gateway.api.fields import fields_of
from gateway.api.load import BODY_BYTES_MAX, Load
from gateway.api.methods import Method
from gateway.api.openapi import NAME, serve
from gateway.metrics import api_requests, api_seconds
from gateway.protocol import Refusal
from gateway.tracing import Tracing
from gateway.transport.hijack import read_body
from gateway.transport.paths import serve_path

log = structlog.get_logger("gateway.api")

PATH = "/api/v1"

BODY_S = 10.0
"""How long a body may take to come: a backend is near."""

UNKNOWN = "unknown"
"""The method in the metrics, where there is none of that name."""

AddressOf = Callable[[web.Request], str | None]


class Api:
    """The server API of one worker."""

    def __init__(self, keys: ApiKeys, addresses: Addresses, address_of: AddressOf) -> None:
        """`address_of` says where a request comes from; None where nobody who is trusted says it."""
        self._keys = keys
        self._addresses = addresses  # what comes from each
        self._address_of = address_of
        self.load = Load()
        self._calls: Calls | None = None
        self._tracing: Tracing | None = None
        self.is_draining = False
        """Whether callers are to come back by another connection, which another worker takes."""

    @property
    def is_on(self) -> bool:
        """Whether there are keys; without one there is no such path."""
        return not self._keys.is_empty

    def start(self, calls: Calls, tracing: Tracing | None = None) -> None:
        """The worker has what methods need."""
        self._calls, self._tracing = calls, tracing

    def attach(self, app: web.Application, prefix: str) -> None:
        """Serves it, if it is on."""
        if self.is_on:
            serve_path(app, "GET", f"{prefix}{PATH}/{NAME}", serve)
            serve_path(app, "*", f"{prefix}{PATH}/{{method}}", self.handle)

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one request."""
        begun_s, name, key = time.monotonic(), UNKNOWN, None
        try:
            key = self._key_of(request)
            assert self._calls is not None  # nothing is served before the worker has started
            with self.load.held(_length(request)):
                body = await _body(request)
                method = self._calls.method(request.match_info["method"])
                name = method.name
                response = answered(await self._traced(self._calls, method, key, request, body))
        except Refusal as refusal:
            response = refused(refusal, key is not None)
        if self.is_draining:
            response.force_close()
        api_requests.count(name, str(response.status))
        api_seconds.of(name).observe(time.monotonic() - begun_s)
        return response

    async def _traced(
        self, calls: Calls, method: Method, key: ApiKey, request: web.Request, body: bytes
    ) -> bytes:
        """Calls, under a span where calls are traced. Who has shown a key is believed which trace this belongs to."""
        if self._tracing is None:
            return await self._call(calls, method, key, request, body)
        told = request.headers.getall("traceparent", ())
        trace = (told[0] if len(told) == 1 else "", request.headers.get("tracestate", ""))
        with self._tracing.call(method.name, request.path, trace) as span:
            try:
                return await self._call(calls, method, key, request, body)
            except Refusal as refusal:
                span.refuse(refusal.code, status_of(refusal))
                raise

    async def _call(
        self, calls: Calls, method: Method, key: ApiKey, request: web.Request, body: bytes
    ) -> bytes:
        if request.method != "POST":
            raise Refusal("bad_request", "Methods are called by POST.", reason="method_not_allowed")
        refuse_without_scope(method, key)
        if body and request.content_type != "application/json":
            raise Refusal("bad_request", "The body must be application/json.", reason="content_type")
        return await calls.call(method, key, _with_header(method, request.headers, _read(body)))

    def _key_of(self, request: web.Request) -> ApiKey:
        """The key of who asks. A wrong one draws on what its address may get wrong; a right one is always taken, so
        that nobody can lock a backend out. Raises Refusal."""
        presented = presented_key(request.headers)
        if presented and (key := self._keys.find(presented)) is not None:
            return key
        address, now_s = self._address_of(request), time.monotonic()
        if shut_out_s := self._addresses.shut_out_s(address, now_s):
            raise Refusal("rate_limited", retry_after_ms=shut_out_s * 1000)
        if presented:
            self._addresses.failed(address, now_s)
        raise Refusal("unauthorized")


def presented_key(headers: Mapping[str, str]) -> str:
    """The key that a request shows; empty if none."""
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get("X-API-Key", "").strip()


def _length(request: web.Request) -> int | None:
    """How long the body is; None where nobody knows, because it comes in chunks or compressed. Raises Refusal."""
    if "Content-Encoding" in request.headers:
        return None
    length = request.content_length
    if length is None:
        return None if "Transfer-Encoding" in request.headers else 0
    if length > BODY_BYTES_MAX:
        raise _too_large()
    return length


async def _body(request: web.Request) -> bytes:
    """The body. Raises Refusal."""
    if not request.body_exists:
        return b""
    try:
        async with asyncio.timeout(BODY_S):
            body = await read_body(request, BODY_BYTES_MAX)
    except TimeoutError:
        raise Refusal("bad_request", f"The body did not come within {BODY_S:g} s.") from None
    if body is None:
        raise _too_large()
    return body


def _too_large() -> Refusal:
    return Refusal("too_large", f"A body may have {BODY_BYTES_MAX:,} bytes.")


def _read(body: bytes) -> Any:
    """A body as JSON; none is a request without fields. Raises Refusal."""
    try:
        return orjson.loads(body) if body else {}
    except ValueError:
        raise Refusal("bad_request", "The body is no JSON.") from None


def _with_header(method: Method, headers: Mapping[str, str], data: Any) -> Any:
    """The fields, with the idempotency key that the header says. Raises Refusal."""
    key = headers.get("Idempotency-Key")
    if key is None or not isinstance(data, dict):
        return data
    if all(field.name != "idempotency_key" for field in fields_of(method.request)):
        return data
    if data.get("idempotency_key") not in (None, key):
        raise Refusal("bad_request", "'idempotency_key' and the header 'Idempotency-Key' differ.")
    return {**data, "idempotency_key": key}
