"""The server API of one worker, and what operators look at beside it, put together from the worker's parts."""

from __future__ import annotations

import time

from aiohttp import web

from gateway.access.addresses import Addresses
from gateway.access.api_keys import ApiKeys
from gateway.api.calls import Calls
from gateway.api.http import Api
from gateway.api.listening import keep_apart
from gateway.api.noting import Noting
from gateway.api.parts import Parts
from gateway.background import Background
from gateway.server.health import Health
from gateway.server.operators import Operators
from gateway.server.words import Words
from gateway.server.worker_parts import WorkerParts
from gateway.settings import Settings
from gateway.socketio.server import SocketServer
from gateway.state.census import Census, WorkerState
from gateway.state.revocations import RevocationStore


class BackendApi:
    """The server API, from before the worker starts."""

    def __init__(
        self, settings: Settings, keys: ApiKeys, addresses: Addresses, sio: SocketServer, health: Health
    ) -> None:
        self._settings = settings
        self._engine = sio.eio
        self._health = health
        self.http = Api(keys, addresses, self._engine.client_address)
        self._operators = Operators(settings, keys, addresses, sio, health)

    def attach(self, app: web.Application) -> None:
        """Serves it: at its own address, if it has one."""
        prefix, own = self._settings.server.path_prefix, self._settings.api.address
        self.http.attach(app, prefix)
        self._operators.attach(app)
        if own is not None:
            keep_apart(app, prefix, own)

    def start(self, worker: WorkerParts, words: Words, background: Background) -> None:
        """The worker's parts are there; `background` keeps what goes on by itself."""
        settings = self._settings
        identity, heartbeat_s = settings.identity, settings.presence.heartbeat_s
        census = Census(worker.store, settings.presence.worker_dead_s)
        parts = Parts(
            hub=worker.hub, publisher=worker.publisher, histories=worker.histories, presence=worker.presence,
            census=census, revocations=RevocationStore(worker.store),
            control=words.control, moderation=words.moderation,
            turns=self._engine.turns, load=self.http.load, sizes=settings.limits, clock=time.time,
            token_life_s=identity.age_max_s + identity.leeway_s + identity.grace_s,
        )  # fmt: skip
        calls = Calls(parts)
        self.http.start(calls, worker.tracing)
        self._operators.start(worker, words, background, census, calls)
        if not self.http.is_on:
            return

        def state() -> WorkerState:
            rooms = sum(1 for room in worker.hub.rooms.values() if room.members)
            return WorkerState(self._health.state, len(worker.sessions), rooms)

        background.keep(Noting(census, self._health.worker, state, heartbeat_s).run(), "notes of its state")

    def begin_drain(self) -> None:
        """Callers are to come back by another connection."""
        self.http.is_draining = True
        self._operators.site.begin_drain()

    def take_answer(self, channel: bytes, payload: bytes) -> bool:
        """Takes what a channel brought, if it is an answer to a question of this worker's."""
        return self._operators.take_answer(channel, payload)
