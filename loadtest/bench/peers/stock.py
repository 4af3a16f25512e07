"""The chat service's events on stock python-socketio with AsyncRedisManager: stock.py PORT REDIS_PORT

What one would write with the library's own means, on uvloop. It keeps no positions, limits or presence, so it does
less than the gateway that it is compared with.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import redis.asyncio
import socketio
import uvloop
from aiohttp import web

HISTORY = 100


def entry(message: str, username: str) -> dict[str, Any]:
    return {"message": message, "username": username, "__createdtime__": int(time.time() * 1000)}


def chat(redis_url: str) -> socketio.AsyncServer:
    """A server with the four events of the chat service."""
    manager = socketio.AsyncRedisManager(redis_url)
    server = socketio.AsyncServer(async_mode="aiohttp", client_manager=manager)
    # Without a limit on connections: each command in flight takes one.
    store = redis.asyncio.from_url(redis_url, max_connections=10_000)

    async def tell_others(sid: str, room: str, message: str) -> None:
        await server.emit("receive", entry(message, "ChatBot"), room=room, skip_sid=sid)

    @server.event
    async def join(sid: str, data: dict[str, str]) -> dict[str, bool]:
        await server.enter_room(sid, data["room"])
        for stored in await store.lrange(f"chat_history_{data['room']}", 0, -1):
            await server.emit("receive", json.loads(stored), to=sid)
        await tell_others(sid, data["room"], f"{data['username']} has joined the room")
        return {"ok": True}

    @server.event
    async def send(sid: str, data: dict[str, str]) -> dict[str, bool]:
        said, history = entry(data["message"], data["username"]), f"chat_history_{data['room']}"
        async with store.pipeline() as pipeline:
            pipeline.rpush(history, json.dumps(said))
            pipeline.ltrim(history, -HISTORY, -1)
            await pipeline.execute()
        await server.emit("receive", said, room=data["room"])
        return {"ok": True}

    @server.event
    async def leave(sid: str, data: dict[str, str]) -> None:
        await server.leave_room(sid, data["room"])
        await tell_others(sid, data["room"], f"{data['username']} has left the room")

    return server


async def ready(_: web.Request) -> web.Response:
    return web.Response(text="ready")


def main(port: int, redis_port: int) -> None:
    app = web.Application()
    app.router.add_get("/readyz", ready)
    chat(f"redis://127.0.0.1:{redis_port}/0").attach(app)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
