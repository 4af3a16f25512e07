"""The two requests of a session that polls: GET fetches what waits for the client, POST brings what it sends.

Owns how each is answered, by the Engine.IO v4 document. Promises that a session has one GET and one POST at a time,
and that whatever else comes of a request ends at most its session.
"""

from __future__ import annotations

import asyncio
import time
from math import inf

import structlog
from aiohttp import web

from gateway.metrics import packets_read
from gateway.transport.answers import BAD_REQUEST, OK, TOO_LARGE, UNKNOWN_SESSION, Answer
from gateway.transport.codec import MalformedPacket, PacketTooLarge, decode_payload, encode_payload
from gateway.transport.hijack import read_body
from gateway.transport.http_reading import cut_off_with_session
from gateway.transport.library_socket import NOOP, Reason, SocketState
from gateway.transport.socket import EngineSocket
from gateway.transport.turns import AT_ONCE, AT_ONCE_BYTES, TURN_MESSAGES, TURN_S, TURNS_IN_A_ROW, Turns

log = structlog.get_logger("gateway.transport")

PACKETS_PER_POLL = 16
"""Packets in one polling response: python-engineio's clients refuse more (`max_decode_packets` of its payload.py)."""


POST_S = 30.0
"""How long the body of a POST may take to arrive: 64 KiB at 2.2 KB/s. A session that ends meanwhile ends it, too."""


class Ending(Exception):
    """A request that ends its session: it is answered first. A client that polls meanwhile would be told "close", and
    not why, if the session ended before."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


async def poll(socket: EngineSocket) -> Answer:
    """Answers a GET: with packets as soon as there are some. Raises Ending."""
    if socket.outbox is not None and socket.outbox.is_polled:
        raise Ending(BAD_REQUEST)
    try:
        payload = await next_payload(socket)
    except asyncio.CancelledError:
        socket.end(Reason.TRANSPORT_CLOSE, packet=None)
        raise
    if payload:
        return 200, payload
    return UNKNOWN_SESSION if socket.closed else (200, NOOP)


async def next_payload(socket: EngineSocket) -> bytes:
    """Waits for packets and takes them out; empty if the session ended without any.

    From the probe of an upgrade on, nothing leaves over polling but NOOP: what waits belongs to the WebSocket.
    """
    if not socket.outbox and socket.state in (SocketState.OPENING, SocketState.POLLING):
        await socket.wait_for_packets()
    if socket.state in (SocketState.UPGRADING, SocketState.WEBSOCKET):
        return NOOP
    return encode_payload(socket.take_outbox(PACKETS_PER_POLL))


async def post(socket: EngineSocket, request: web.Request, max_bytes: int, turns: Turns) -> Answer:
    """Answers a POST once its packets are handled. Raises Ending, and ConnectionError if the client went away."""
    if socket.is_posting:
        raise Ending(BAD_REQUEST)
    socket.is_posting = True
    try:
        body = await _read_body(socket, request, max_bytes)
        if body is None:
            raise Ending(TOO_LARGE)
        await receive_payload(socket, body, turns)
        if socket.conduct is not None and socket.conduct.is_over:
            cut_off_with_session(request)
            return BAD_REQUEST
    except TimeoutError as late:
        raise Ending(UNKNOWN_SESSION) from late
    except PacketTooLarge as wrong:
        raise Ending(TOO_LARGE) from wrong
    except MalformedPacket as wrong:
        log.debug("packet_malformed", reason=str(wrong))
        socket.end(Reason.TRANSPORT_ERROR, packet=None)
        return BAD_REQUEST
    finally:
        socket.is_posting = False
    return OK


async def _come(socket: EngineSocket, turns: Turns, is_slow: bool) -> None:
    """Waits for a session's turn; meanwhile nothing is forgiven."""
    if (conduct := socket.conduct) is None:
        await turns.come(is_slow)
    else:
        conduct.wait(time.monotonic())
        await turns.come(is_slow or conduct.is_bad(time.monotonic()))
        conduct.waited(time.monotonic())


async def answer_and_end(
    request: web.Request, response: web.StreamResponse, socket: EngineSocket
) -> web.StreamResponse:
    """Answers a request, then ends its session; and the connection, if the request's body was not read."""
    if not request.content.is_eof():
        response.force_close()
    try:
        await response.prepare(request)
        await response.write_eof()
    finally:
        socket.end(Reason.TRANSPORT_ERROR)
    return response


async def _read_body(socket: EngineSocket, request: web.Request, max_bytes: int) -> bytes | None:
    """The body, or None if it is too long or broken. Raises TimeoutError when that takes too long."""
    try:
        async with asyncio.timeout(POST_S) as socket.body_deadline:
            return await read_body(request, max_bytes)
    finally:
        socket.body_deadline = None


async def receive_payload(socket: EngineSocket, body: bytes, turns: Turns) -> None:
    """Handles the packets of a payload, one after the other: a few at once, more in turns with other connections.
    Raises MalformedPacket."""
    rounds = 0
    left, until_s = AT_ONCE if len(body) <= AT_ONCE_BYTES else 0, inf
    for opcode, data in decode_payload(body):
        if left <= 0 or time.monotonic() > until_s:
            await _come(socket, turns, rounds > TURNS_IN_A_ROW)
            rounds += 1
            left, until_s = TURN_MESSAGES, time.monotonic() + TURN_S
        left -= 1
        packets_read.value += 1
        if socket.closed:
            return
        waits = socket.received(opcode, data)
        if waits is not None:
            await waits
