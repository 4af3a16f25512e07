"""The client of the server API for your application's backend: Django, Flask, Celery, or any Python program.

    from gateway.backend import Backend

    chat = Backend("http://127.0.0.1:8006", "gwk_…")
    chat.publish("support:7", "Your order has left.", user="42")

Imports the standard library and nothing else of the gateway: a web application that imports it loads no server.
`docs/server-api.md` has a recipe for each framework.
"""

from gateway.backend import calls
from gateway.backend.async_client import AsyncBackend
from gateway.backend.calls import Call
from gateway.backend.client import Backend
from gateway.backend.errors import BackendError
from gateway.backend.results import (
    Changed,
    Delivered,
    History,
    Members,
    Moderated,
    Published,
    RoomCount,
    RoomFacts,
    RoomPage,
    Stats,
    User,
    Worker,
)

__all__ = [
    "AsyncBackend",
    "Backend",
    "BackendError",
    "Call",
    "Changed",
    "Delivered",
    "History",
    "Members",
    "Moderated",
    "Published",
    "RoomCount",
    "RoomFacts",
    "RoomPage",
    "Stats",
    "User",
    "Worker",
    "calls",
]
