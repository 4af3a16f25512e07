"""What those who run the gateway look at, put together for one worker: the answers to `gateway top` and `gateway room`,
the dashboard, where a key with the scope `admin` exists, and the official Admin UI, where it is on."""

from __future__ import annotations

import json
import time
from collections.abc import Sized
from typing import Any

from aiohttp import web

from gateway.access.addresses import Addresses
from gateway.access.api_keys import ApiKey, ApiKeys
from gateway.admin.looking import Looking
from gateway.admin.site import Site
from gateway.admin.ui_facts import SERVER, Facts
from gateway.admin.ui_packets import NAMESPACE
from gateway.api.calls import Calls
from gateway.background import Background
from gateway.chat.inspection import INSPECT, Inspection
from gateway.chat.questions import Questions
from gateway.chat.room_rates import Recent, RoomRates
from gateway.server.admin_ui import AllWorkers, admin_ui_of
from gateway.server.health import Health
from gateway.server.words import Words
from gateway.server.worker_parts import WorkerParts
from gateway.settings import Settings
from gateway.socketio.server import SocketServer
from gateway.state.census import Census


class _Methods:
    """The server API for the dashboard."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def call(self, name: str, key: ApiKey, fields: dict[str, Any]) -> Any:
        """Calls a method for a key; its answer. Raises Refusal."""
        answer = await self._calls.call(self._calls.method(name), key, fields)
        return json.loads(answer)  # it reads half a surrogate pair, too, which old messages may hold


class Operators:
    """From before the worker starts."""

    def __init__(
        self, settings: Settings, keys: ApiKeys, addresses: Addresses, sio: SocketServer, health: Health
    ) -> None:
        self._settings = settings
        self._health = health
        self._sio = sio
        self._questions: Questions | None = None
        self.site = Site(settings.server, keys, addresses, sio.eio.client_address)
        self._ui = admin_ui_of(settings, keys, addresses) if self.site.is_on else None

    def attach(self, app: web.Application) -> None:
        """Serves the dashboard, if it is on."""
        self.site.attach(app)

    def start(
        self, worker: WorkerParts, words: Words, background: Background, census: Census, calls: Calls
    ) -> None:
        """The worker's parts are there; `background` keeps what goes on by itself."""
        recent = None
        sizes: dict[str, Sized] = {"/": worker.sessions}
        facts = Facts(self._sio.eio.sockets, sizes)
        if self.site.is_on:
            recent = Recent(RoomRates(worker.hub, time.monotonic), worker.sessions.__len__)
            background.keep(recent.run(), "notes for the dashboard")
            questions = self._questions = Questions(worker.store, worker.pubsub)
            self.site.start(Looking(questions, census, worker.store), _Methods(calls))
            if self._ui is not None:
                sizes[NAMESPACE] = self._ui.sessions
                self._ui.start(self._sio, AllWorkers(questions, census, facts, self._health), background)
        inspection = Inspection(
            self._health, worker.store, worker.hub, worker.sessions, background, recent
        )  # fmt: skip
        inspection.answer(SERVER, facts.told)
        words.control.hear(INSPECT, inspection.on_word)

    def take_answer(self, channel: bytes, payload: bytes) -> bool:
        """Takes what a channel brought, if it is an answer to this worker's questions."""
        if self._questions is None or channel != self._questions.channel:
            return False
        self._questions.take(payload)
        return True
