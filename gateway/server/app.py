"""The composition root: builds one worker's gateway and hands everything down by argument.

Nothing else in the package makes servers, connections or settings. Lifetimes are on one exit stack, and end in the
reverse order in which they began.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog
from aiohttp import web

from gateway import keys
from gateway.access.addresses import Addresses
from gateway.access.revocations import Revocations
from gateway.access.room_keeping import KeptByRule
from gateway.access.users import Users
from gateway.background import Background
from gateway.chat.handlers import Chat
from gateway.chat.identities import Identities
from gateway.chat.moderated_rooms import ModeratedRooms
from gateway.chat.notices import Notices
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.reaper import Reaper
from gateway.chat.revoking import Revoking
from gateway.chat.sessions import Sessions
from gateway.redis.address import is_cluster
from gateway.rooms.empty_rooms import EmptyRooms
from gateway.rooms.hub import Hub
from gateway.rooms.routes import route_for
from gateway.rooms.snapshot_source import RedisSnapshots
from gateway.server import process
from gateway.server.backend_api import BackendApi
from gateway.server.chat_parts import chat_of
from gateway.server.clients import Clients
from gateway.server.connections import Connections, connections
from gateway.server.drain import Drain
from gateway.server.gauges import Looked
from gateway.server.handoff import Handoff, run_folder_of
from gateway.server.health import Health
from gateway.server.identification import Identification, identification_of
from gateway.server.last_words import greet
from gateway.server.newcomers import Newcomers, admission_of
from gateway.server.own_valkey import start_own
from gateway.server.preflight import warnings_of
from gateway.server.readiness import Readiness
from gateway.server.rules import workers_configured
from gateway.server.scrape import Scrape
from gateway.server.tracing_parts import TracingParts
from gateway.server.web_files import application_of
from gateway.server.words import Words, words_of
from gateway.server.worker_parts import WorkerParts
from gateway.settings import Settings
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from gateway.state.history import Histories
from gateway.state.presence import Presence
from gateway.state.revocations import RevocationStore
from gateway.state.room_counts import RoomCounts
from gateway.state.workers import Workers
from gateway.state.write_check import WriteCheck
from gateway.webhooks.service import Webhooks, webhooks_of

log = structlog.get_logger("gateway.server")

START_S = 3.0
"""How long a starting worker waits for the store before it serves without (and says that it is not ready)."""

IDLE_S = 5.0
"""How long a room stays subscribed after its last member's grace period: who reloads a page finds it so."""


class Gateway:
    """One worker's gateway: what it is made of, and its life."""

    hub: Hub
    """The rooms of this worker; made when the worker starts."""
    tracker: PresenceTracker
    """Who is present; made when the worker starts."""
    reaper: Reaper
    """Heartbeats, and the clean-up after dead workers; made when the worker starts."""
    empty_rooms: EmptyRooms
    """Renews the positions of rooms in which nothing was ever said; made when the worker starts."""
    revoking: Revoking
    """Who is revoked and banned; made when the worker starts."""
    words: Words
    """Words to all workers; made when the worker starts."""
    chat: Chat
    """The events of clients; made when the worker starts."""
    identified: Identification
    """Who clients are, and the keys for that; made when the worker starts."""
    readiness: Readiness
    """Looks whether Redis takes writes; made when the worker starts."""
    webhooks: Webhooks
    """Posts to the application what happens in rooms; made when the worker starts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.configured = workers_configured(settings)
        self.rules = self.configured.rules
        self.worker = settings.server.name + secrets.token_hex(4)  # its id: the sessions' ids begin with it
        self.health = Health(self.worker)
        self._background = Background("worker")
        self.scrape = Scrape(self.health, self._background)
        self.addresses = Addresses(settings.rates)  # how much comes from each
        self.revocations = Revocations()  # who is refused, whatever they show
        self.newcomers = Newcomers(self.health, self.addresses, self.revocations)
        self.client_manager = ClientManager()
        self.sio = SocketServer(
            options=replace(settings.engine, worker=self.worker), client_manager=self.client_manager,
            namespaces=["/"], gate=self, sessions=self.addresses,
            admission=admission_of(settings.access.handshakes_per_s),
        )  # fmt: skip
        self.engine = self.sio.eio
        self.api = BackendApi(settings, self.configured.api_keys, self.addresses, self.sio, self.health)
        self.handoff: Handoff | None = None  # only where there are other workers: under gunicorn
        times = settings.server
        self.drain = Drain(self.engine, self._begin_drain, times.drain_s, times.drain_min_s)
        self._stack = AsyncExitStack()  # all lifetimes

    async def life(self, app: web.Application) -> AsyncIterator[None]:
        """Starts everything, and undoes it in reverse once aiohttp has no request left."""
        async with self._stack as stack:
            await self._start(stack)
            log.info("worker_started", worker=self.worker, route=self.settings.redis.route)
            yield
        log.info("worker_stopped", worker=self.worker)

    async def stop(self, app: web.Application) -> None:
        """Closes the sessions. Called before aiohttp waits for the requests that are open, polls among them."""
        await self.drain.run()

    async def _start(self, stack: AsyncExitStack) -> None:
        redis = self._compose(stack)
        self.health.watch(redis.store, redis.pubsub)
        looked = Looked(self.engine.sockets, self.chat.sessions, self.hub, redis, self.identified.part)
        self.scrape.start(looked)
        Clients(
            self.engine, self.client_manager, self.chat, self.addresses,
            Users(self.settings.rates.user_connections),
        ).listen(self.sio)  # fmt: skip
        for close in (redis.store.close, redis.pubsub.close, self.chat.close_hooks):
            stack.push_async_callback(close)
        await asyncio.gather(redis.store.start(START_S, redis.pubsub), redis.pubsub.start(START_S, self.hub))
        stack.push_async_callback(self.hub.close)
        self.client_manager.serve(redis.store, self.hub, self.chat)
        await self.client_manager.watch_for_others(redis.pubsub)
        stack.push_async_callback(self.client_manager.close)
        stack.push_async_callback(self.tracker.close)
        stack.push_async_callback(self._background.close)
        await self.revoking.read()
        await self._start_keys()
        await self.readiness.look()
        self._background.keep(self.revoking.run(), "revocations")
        self._background.keep(self.words.follower.run(), "moderation")
        self._background.keep(self.readiness.run(), "readiness")
        self._background.keep(self.reaper.run(), "heartbeats")
        self._background.keep(self.empty_rooms.run(), "positions of empty rooms")
        stack.push_async_callback(self.webhooks.close)
        self.webhooks.start(self.hub)
        if redis.finder is not None:
            self._background.keep(redis.finder.watch(redis.drop), "watch for another primary")
        stack.push_async_callback(self.reaper.depart)
        stack.push_async_callback(self.engine.shutdown)

    async def _start_keys(self) -> None:
        """Where tokens count, the worker is not ready before it has keys for them."""
        if (part := self.identified.part) is not None:
            self.health.heed(part)
            await part.start()
            self._background.keep(part.run(), "keys for tokens")

    def _compose(self, stack: AsyncExitStack) -> Connections:
        """Makes everything between Redis and the clients' events, and tells each part who listens to it."""
        settings, worker, timers = self.settings, self.worker, self.engine.times.timers
        # Without gunicorn (`adev runserver`) and without REDIS_URL the worker has a Valkey of its own.
        url = settings.redis.url or start_own(settings.embedded, stack, self._background)
        route = route_for(settings.redis.route, is_cluster(url))
        redis = connections(url, worker, route, settings)
        store, pubsub = redis.store, redis.pubsub
        kept = KeptByRule(self.rules, settings.publish)
        histories = Histories(store, settings.publish.position_ttl_s, settings.publish.empty_room_ttl_s, kept)
        waiting = replace(settings.publish, wait_s=settings.redis.timeout_s / 2)
        self.webhooks = webhooks_of(self.configured.webhooks, store, worker, settings)
        traces = TracingParts(settings, worker, stack)
        publisher = traces.publisher(store, route, waiting, keeping=kept, outbox=self.webhooks.marks)
        self.hub = Hub(
            pubsub, route, RedisSnapshots(histories, pubsub, redis.watch, route), timers,
            settings.presence.grace_s + IDLE_S, publisher.tell_position, traces.deliveries, kept,
        )  # fmt: skip
        options, sessions = settings.presence, Sessions()
        presence = Presence(store, worker, self.webhooks.marks)
        workers = Workers(store, worker, options.worker_dead_s)
        notices = Notices(publisher, options, self.rules)
        counts = RoomCounts(store, worker, self.webhooks.marks)
        self.tracker = PresenceTracker(
            sessions, presence, workers, notices, timers, options, counts, self.rules
        )
        self.revoking = Revoking(RevocationStore(store), self.revocations, sessions)
        self.reaper = Reaper(presence, workers, notices, self.tracker, options, self.revoking)
        parts = WorkerParts(
            store=store, pubsub=pubsub, kept=kept, hub=self.hub, publisher=publisher, histories=histories,
            presence=presence, tracker=self.tracker, sessions=sessions, moderated=ModeratedRooms(),
            tracing=traces.tracing,
        )  # fmt: skip
        self._compose_chat(parts)
        self.hub.start(self)
        self.readiness = Readiness(
            self.health, WriteCheck(store, worker, route.publish_verb), options.heartbeat_s,
            lambda: greet(settings.server.run_dir, self._background),
        )  # fmt: skip
        return redis

    def _compose_chat(self, parts: WorkerParts) -> None:
        """Makes what takes the clients' events, and the calls of backends."""
        settings = self.settings
        self.empty_rooms = EmptyRooms(parts.hub, parts.histories)
        found = self.identified = identification_of(settings, parts.store, self._background)
        grace_s = settings.identity.grace_s
        identities = Identities(found.identifier, found.find_token, grace_s, self.revocations)
        self.chat = chat_of(settings, self.rules, parts, identities, self.engine.admission)
        self.words = words_of(parts, self.chat, self.revoking)
        self.api.start(parts, self.words, self._background)

    def adopt_into(self, server: web.Server, workers: int) -> None:
        """Lets other workers of the host, `workers` with this one, pass connections to this one's HTTP server and ask
        it for its metrics, until this worker ends."""
        folder = run_folder_of(self.settings.server.run_dir, self._stack)
        self.scrape.join(folder, workers)
        self._stack.callback(self.scrape.leave)
        self.handoff = Handoff(folder, self.worker, self.settings.engine.max_payload_bytes)
        self.handoff.open(server, self.scrape)
        self._stack.push_async_callback(self.handoff.close)

    def _begin_drain(self) -> None:
        self.health.is_draining = True
        self.api.begin_drain()
        if self.handoff is not None:
            self.handoff.begin_drain()
        self._background.run(self.webhooks.leave(), "leases of webhooks")

    # -- from the hub

    def on_room_closed(self, name: str) -> None:
        """No session of this worker is in the room any more."""
        self.tracker.on_room_closed(name)

    def on_foreign_message(self, channel: bytes, payload: bytes) -> None:
        """Other processes speak python-socketio's language, or tell workers what has changed."""
        if channel == keys.CONTROL:
            self.words.control.on_message(payload)
        elif not self.api.take_answer(channel, payload):
            self.client_manager.on_foreign_message(channel, payload)

    def on_restored(self) -> None:
        """Redis was away: it may have forgotten who is here."""
        self.readiness.look_soon()
        self.webhooks.on_restored()
        self.reaper.beat_soon()
        self.tracker.register_again()

    # -- clients

    async def admit(self, request: web.Request) -> web.Response | None:
        """Returns None once a new session may begin, else the answer that refuses it."""
        return await self.newcomers.admit(self.engine, request)

    async def pass_on(self, request: web.Request, sid: str | None) -> bool:
        """Passes a request to another worker, if there are others."""
        return self.handoff is not None and await self.handoff.pass_on(request, sid)


GATEWAY = web.AppKey("gateway", Gateway)


async def create_app() -> web.Application:
    """The aiohttp application of one worker. Raises SettingsError for a file that cannot be used: no reload then."""
    settings = Settings.from_environment()
    list(warnings_of(settings))  # the master has logged what it found at the start
    return build_app(settings)


def build_app(settings: Settings) -> web.Application:
    """The same from given settings."""
    process.configure(settings)
    app = application_of(settings)
    app[GATEWAY] = gateway = Gateway(settings)
    gateway.sio.attach(app, f"{settings.server.path_prefix}{settings.server.path}")
    gateway.health.attach(app, settings.server.path_prefix)
    gateway.scrape.attach(app, settings.server.path_prefix)
    gateway.api.attach(app)
    app.cleanup_ctx.append(gateway.life)
    app.on_shutdown.append(gateway.stop)
    return app
