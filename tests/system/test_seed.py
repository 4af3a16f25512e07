"""What clients of the old service do works as it is: its README's snippets and listeners, word by word."""

from __future__ import annotations

import socketio

from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.stock_clients import JavaScriptClient
from tests.support.waiting import until

ROOM = "room-id"  # the snippets name it


async def test_javascript_snippets_and_listeners_work_unchanged(
    routed: Gateway, connect: Opener, javascript: None
) -> None:
    watcher = await connect(routed.url)
    await watcher.join("watcher", ROOM)
    async with JavaScriptClient() as client:
        await client.connect(routed.url, "upgrade")
        client.run_snippet("seed_listeners.js")
        client.run_snippet("seed_join.js")
        await until(lambda: _notices(watcher) == ["User123 has joined the room"], what="the join is told")
        client.run_snippet("seed_send.js")
        await until(
            lambda: _texts(client.received)[-1:] == ["Hello World"], what="the sender gets the message"
        )
        await until(lambda: watcher.messages(ROOM)[-1:] == ["Hello World"], what="the other gets the message")
        client.run_snippet("seed_leave.js")
        await until(lambda: _notices(watcher)[1:] == ["User123 has left the room"], what="the leave is told")
        _is_as_the_seed_says(client.received[-1], "User123")
        _is_as_the_seed_says(watcher.received[-1], "ChatBot")
        assert client.errors == []


async def test_a_python_client_without_acknowledgements_works(
    routed: Gateway, room: str, connect: Opener
) -> None:
    watcher = await connect(routed.url)
    await watcher.join("watcher", room)
    received: list[dict[str, object]] = []
    client = socketio.AsyncClient()
    client.on("receive", received.append)
    await client.connect(routed.url)
    await client.emit("join", {"username": "User123", "room": room})
    await client.emit("send", {"room": room, "username": "User123", "message": "Hello World"})
    await until(lambda: _texts(received) == ["Hello World"], what="the sender gets the message")
    await client.emit("leave", {"username": "User123", "room": room})
    await until(lambda: len(_told(watcher, room)) == 3, what="joined, the message, left")
    await client.disconnect()
    _is_as_the_seed_says(next(data for data in received if data["username"] != "ChatBot"), "User123")
    assert _told(watcher, room) == ["User123 has joined the room", "Hello World", "User123 has left the room"]


async def test_a_listener_of_error_gets_a_sentence(gateway: Gateway, connect: Opener) -> None:
    member = await connect(gateway.url)
    await member.emit("send", {"room": "never-joined", "username": "User123", "message": "Hello World"})
    await until(lambda: member.errors, what="an error event")
    assert isinstance(member.errors[0]["message"], str)
    assert member.errors[0]["message"]


def _is_as_the_seed_says(data: dict[str, object], username: str) -> None:
    assert list(data)[:3] == ["message", "username", "__createdtime__"]
    assert data["username"] == username
    assert isinstance(data["message"], str)
    assert isinstance(data["__createdtime__"], int)
    assert data["__createdtime__"] > 1_600_000_000_000, "milliseconds since 1970"


def _texts(received: list[dict[str, object]]) -> list[object]:
    return [data["message"] for data in received if data["username"] != "ChatBot"]


def _notices(watcher: Member) -> list[str]:
    """What the watcher was told of others in the snippets' room."""
    return [notice for notice in watcher.notices(ROOM) if not notice.startswith("watcher ")]


def _told(member: Member, room: str) -> list[str]:
    """What the member was told in the room by or about others; an earlier watcher's notice may come late."""
    told = [data["message"] for data in member.received if data["room"] == room]
    return [message for message in told if not message.startswith("watcher ")]
