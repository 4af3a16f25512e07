"""What is looked up when somebody asks for metrics: how many there are of what, now. Kept up by nobody meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway import __version__, metrics
from gateway.access.jwks import JwksKeys
from gateway.builds import build_name
from gateway.chat.sessions import Sessions
from gateway.rooms.hub import Hub
from gateway.server.connections import Connections
from gateway.server.health import Health
from gateway.transport.socket import EngineSocket


@dataclass(frozen=True, slots=True)
class Looked:
    """Where metrics look.

    sockets   the engine's sessions
    sessions  the chat's
    hub       the rooms
    redis     the connections to Redis
    keys      what decides who clients are; of interest where it is the keys of an identity provider
    """

    sockets: Mapping[str, EngineSocket]
    sessions: Sessions
    hub: Hub
    redis: Connections
    keys: object


def look(health: Health, looked: Looked | None) -> None:
    """Sets all gauges; before the worker has started those of its state alone."""
    metrics.worker_up.set(1)
    metrics.build_info.set(1, __version__, build_name())
    metrics.ready.set(not health.troubles())
    metrics.drain_state.set(health.is_draining)
    if looked is None:
        return
    _look_at_clients(looked)
    metrics.rooms.set(len(looked.hub.rooms))
    metrics.store_up.set(looked.redis.store.is_up)
    metrics.store_pending.set(looked.redis.load.commands.pending)
    metrics.bus_silence_seconds.set(
        round(max(0.0, time.monotonic() - looked.redis.load.pubsub.heard_at_s), 3)
    )
    metrics.bus_subscriptions.set(looked.redis.load.pubsub.channels)
    if isinstance(looked.keys, JwksKeys):
        metrics.jwks_age_seconds.set(round(looked.keys.age_s, 1))


def _look_at_clients(looked: Looked) -> None:
    sockets = looked.sockets.values()
    waiting = [socket.unsent_bytes for socket in sockets]
    metrics.outbound_bytes.set(sum(waiting))
    metrics.outbound_bytes_max.set(max(waiting, default=0))
    websockets = sum(socket.websocket is not None for socket in sockets)
    metrics.connections.set(websockets, "websocket")
    metrics.connections.set(len(waiting) - websockets, "polling")
    guests = users = memberships = behind = 0
    for session in looked.sessions.all():
        rooms = len(session.rooms)
        memberships += rooms
        if session.identity.user:
            users += 1
        else:
            guests += 1
        if getattr(session.socket, "is_behind", False):
            behind += rooms
    metrics.sessions.set(guests, "guest")
    metrics.sessions.set(users, "user")
    metrics.memberships.set(memberships)
    metrics.behind_members.set(behind)
