"""What is traced, as a Protocol: who calls these knows no OpenTelemetry. `server/opentelemetry.py` is behind it.

A trace has three kinds of spans: a call of the server API, the storing of a message, and its delivery, one for each
worker that has members in the room.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from gateway.errors import StoreError


class CallSpan(Protocol):
    """A call of the server API under way."""

    def refuse(self, code: str, status: int) -> None:
        """The call is answered by this error."""


class StoreSpan(Protocol):
    """A message under way to the store."""

    @property
    def traceparent(self) -> bytes:
        """Its place in its trace, in the form of the W3C."""

    def end(self, result: str | StoreError) -> None:
        """The store has answered: a position, or why there is none."""


class Delivery(NamedTuple):
    """A traced message that a worker has handed to its members."""

    traceparent: str
    """The span that stored it."""
    position: str
    begun_ns: int
    """When it came by the channel: nanoseconds since 1970."""
    members: int
    """How many sessions of this worker are in the room."""
    is_live: bool
    """Whether it was written at once; else the room was reading its history, from which members get it."""


class Tracing(Protocol):
    """Where spans begin."""

    def call(self, method: str, path: str, trace: tuple[str, str]) -> AbstractContextManager[CallSpan]:
        """A call of the server API. What is stored inside belongs to it. `trace` is what the caller says it belongs to:
        the headers `traceparent` and `tracestate`, which may hold anything."""

    def begin_store(self) -> StoreSpan | None:
        """A message is submitted to the store; None if it is not traced."""

    def delivered(self, delivery: Delivery) -> None:
        """A message that another span stored has come to the members here."""
