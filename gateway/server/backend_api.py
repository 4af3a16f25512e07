"""The server API of one worker, put together from the worker's parts."""

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
from gateway.chat.sessions import Sessions
from gateway.interfaces import CommandStore
from gateway.rooms.hub import Hub
from gateway.rooms.publisher import Publisher
from gateway.server.health import Health
from gateway.server.words import Words
from gateway.settings import Settings
from gateway.state.census import Census, WorkerState
from gateway.state.history import Histories
from gateway.state.presence import Presence
from gateway.state.revocations import RevocationStore
from gateway.transport.server import EngineServer


class BackendApi:
    """The server API, from before the worker starts."""

    def __init__(
        self, settings: Settings, keys: ApiKeys, addresses: Addresses, engine: EngineServer, health: Health
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._health = health
        self.http = Api(keys, addresses, engine.client_address)

    def attach(self, app: web.Application) -> None:
        """Serves it: at its own address, if it has one."""
        prefix, own = self._settings.server.path_prefix, self._settings.api.address
        self.http.attach(app, prefix)
        if own is not None:
            keep_apart(app, prefix, own)

    def start(
        self,
        store: CommandStore,
        hub: Hub,
        publisher: Publisher,
        histories: Histories,
        presence: Presence,
        words: Words,
        sessions: Sessions,
        background: Background,
    ) -> None:
        """The worker's parts are there; `background` keeps what goes on by itself."""
        if not self.http.is_on:
            return
        settings = self._settings
        identity, heartbeat_s = settings.identity, settings.presence.heartbeat_s
        census = Census(store, settings.presence.worker_dead_s)
        parts = Parts(
            hub=hub, publisher=publisher, histories=histories, presence=presence, census=census,
            revocations=RevocationStore(store), control=words.control, moderation=words.moderation,
            turns=self._engine.turns, load=self.http.load, sizes=settings.limits, clock=time.time,
            token_life_s=identity.age_max_s + identity.leeway_s + identity.grace_s,
        )  # fmt: skip
        self.http.start(Calls(parts))

        def state() -> WorkerState:
            rooms = sum(1 for room in hub.rooms.values() if room.members)
            return WorkerState(self._health.state, len(sessions), rooms)

        background.keep(Noting(census, self._health.worker, state, heartbeat_s).run(), "notes of its state")
