"""The chat client for Python programs (asyncio): bots, bridges, tests, desktop programs.

    from gateway.client import connect

    async with connect("http://127.0.0.1:8006", username="Bob") as chat:
        room = chat.room("lobby")
        await room.send("Hello")
        async for message in room.new_messages():
            print(message.username, message.text)

Does what every client must do and most do wrong: comes back with `since`, shows each message once and in order, says
nothing twice and loses nothing that was said while the connection was away, refreshes tokens, and does not storm a
gateway that refuses it. `docs/python-client.md` describes it.

Stands on python-socketio's client and imports nothing of the server. Each connection has a client of that library of
its own (`line.py`), so nothing of an old connection reaches a new one; `chat.py` makes them, one after the other.
"""

from gateway.client.chat import Chat, connect
from gateway.client.errors import ChatError
from gateway.client.feed import (
    Changed,
    Connected,
    Disconnected,
    Event,
    Noticed,
    Read,
    Received,
    Reloaded,
    Removed,
    Signalled,
)
from gateway.client.messages import Message
from gateway.client.outbox import Pending
from gateway.client.room import Members, Room

__all__ = [
    "Changed",
    "Chat",
    "ChatError",
    "Connected",
    "Disconnected",
    "Event",
    "Members",
    "Message",
    "Noticed",
    "Pending",
    "Read",
    "Received",
    "Reloaded",
    "Removed",
    "Room",
    "Signalled",
    "connect",
]
