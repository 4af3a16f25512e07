"""The composition root: builds one worker's gateway and hands everything down by argument.

Nothing else in the package makes servers, connections or settings. Lifetimes are undone in reverse.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from gateway.access.limits import Bucket
from gateway.admission import WAIT_MAX_S, AdmissionControl
from gateway.chat.handlers import Chat
from gateway.chat.notices import Notices
from gateway.chat.options import PresenceOptions
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.reaper import Reaper
from gateway.chat.sessions import Sessions
from gateway.interfaces import CommandStore, PrimaryFinder, PubSub
from gateway.metrics import connects, disconnects
from gateway.redis.address import Endpoint, FixedFinder, endpoint_of, is_cluster
from gateway.redis.cluster.commands import ClusterCommands
from gateway.redis.cluster.pubsub import ClusterPubSub
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import STALE_S, CommandOptions
from gateway.redis.pubsub import PrimaryPubSub
from gateway.redis.sentinel import SentinelFinder
from gateway.redis.server_watch import ServerWatch
from gateway.rooms.hub import Hub
from gateway.rooms.publisher import Publisher, PublishOptions
from gateway.rooms.routes import Route, route_for
from gateway.rooms.snapshot_source import RedisSnapshots
from gateway.server import logs
from gateway.server.drain import Drain
from gateway.server.embedded import EmbeddedValkey, state_folder
from gateway.server.handoff import Handoff
from gateway.server.health import Health
from gateway.settings import Settings
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from gateway.state.history import Histories
from gateway.state.presence import Presence
from gateway.state.scripts import ALL
from gateway.state.workers import Workers
from gateway.transport.options import EngineOptions

log = structlog.get_logger("gateway.server")

START_S = 3.0
"""How long a starting worker waits for the store before it serves without (and says that it is not ready)."""

COME_BACK_S = 2
"""Retry-After of a handshake that was refused: what is in the queue is let in or refused within a second."""

IDLE_S = 5.0
"""How long a room stays subscribed after its last member's grace period."""


class Gateway:
    """One worker's gateway: what it is made of, and its life."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.worker = secrets.token_hex(4)
        self.client_manager = ClientManager()
        self.sio = SocketServer(
            options=engine_options(settings, self.worker),
            client_manager=self.client_manager,
            namespaces=["/"],
        )
        self.engine = self.sio.eio
        self.engine.admission = admission_of(settings.handshakes_per_s)
        self.handoff: Handoff | None = None
        self.drain = Drain(self.engine, self._begin_drain, settings.drain_s)

    async def life(self, app: web.Application) -> AsyncIterator[None]:
        """Starts everything, and undoes it in reverse."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            log.info("worker_started", worker=self.worker, route=self.settings.route)
            yield
            await self.drain.run()
            if self.handoff is not None:
                await self.handoff.close()
            await self.engine.shutdown()
            await self.reaper.depart()
        log.info("worker_stopped", worker=self.worker)

    async def leave(self, app: web.Application) -> None:
        """Closes the sessions."""
        await self.drain.run()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings, worker = self.settings, self.worker
        url = settings.redis_url or self._start_embedded(stack)
        route = route_for(settings.route, is_cluster(url))
        store, pubsub, watch, finder = connections(url, worker, route, settings)
        histories = Histories(store, settings.position_ttl_s)
        publisher = Publisher(store, route, publish_options(settings))
        self.hub = Hub(
            pubsub, route, RedisSnapshots(histories, pubsub, watch, route), self.engine.times.timers,
            settings.grace_s + IDLE_S, publisher.tell_position,
        )  # fmt: skip
        presence, workers = Presence(store, worker), Workers(store, worker, settings.worker_dead_s)
        sessions, options = Sessions(), presence_options(settings)
        notices = Notices(publisher, options)
        self.tracker = PresenceTracker(
            sessions, presence, workers, notices, self.engine.times.timers, options
        )
        self.reaper = Reaper(presence, workers, notices, self.tracker, options)
        self.chat = Chat(
            sessions, self.hub, publisher, self.tracker, histories, settings.sizes, settings.rooms_per_connection,
            settings.redis_timeout_s * 0.95, self.engine.admission,
        )  # fmt: skip
        self.hub.start(self)
        self.health = Health(worker, store, pubsub)
        self._listen_to_clients()
        await asyncio.gather(store.start(START_S, pubsub), pubsub.start(START_S, self.hub))
        stack.push_async_callback(store.close)
        stack.push_async_callback(pubsub.close)
        stack.push_async_callback(self.hub.close)
        self.client_manager.serve(store, self.hub)
        stack.push_async_callback(self.client_manager.close)
        stack.push_async_callback(self.tracker.close)
        self._run(stack, self.reaper.run())
        if finder is not None:
            self._run(stack, finder.watch(lambda reason: _drop(store, pubsub, reason)))

    @staticmethod
    def _run(stack: AsyncExitStack, loop: Coroutine[Any, Any, None]) -> None:
        """Runs a background loop until the worker ends."""
        stack.push_async_callback(_cancel, asyncio.create_task(loop))

    def _start_embedded(self, stack: AsyncExitStack) -> str:
        """Without gunicorn (`adev runserver`) and without REDIS_URL the worker has a Valkey of its own."""
        valkey = EmbeddedValkey.start(state_folder(self.settings.state_dir), self.settings.embedded_port)
        stack.callback(valkey.stop)
        return valkey.url

    def adopt_into(self, server: web.Server) -> None:
        """Lets other workers pass connections to this one's HTTP server."""
        folder = Path(self.settings.run_dir or tempfile.mkdtemp(prefix="gateway-"))
        self.handoff = Handoff(folder, self.worker, self.settings.frame_max_bytes)
        self.handoff.open(server)
        self.engine.pass_on = self.handoff.pass_on

    def _begin_drain(self) -> None:
        self.health.is_draining = True
        if self.handoff is not None:
            self.handoff.begin_drain()

    # -- from the hub

    def on_room_closed(self, name: str) -> None:
        """No session of this worker is in the room any more."""
        self.tracker.on_room_closed(name)

    def on_foreign_message(self, channel: bytes, payload: bytes) -> None:
        """Other processes speak python-socketio's language."""
        self.client_manager.on_foreign_message(channel, payload)

    def on_restored(self) -> None:
        """Redis was away: it may have forgotten who is here."""
        self.reaper.beat_soon()
        self.tracker.register_again()

    # -- clients

    def _listen_to_clients(self) -> None:
        self.engine.gate = self._gate
        self.sio.on("connect", self._connected)
        self.sio.on("disconnect", self._disconnected)

    async def _gate(self, request: web.Request) -> web.Response | None:
        """Refuses a new handshake while draining; lets it wait for its turn, and refuses it when that is too long."""
        if self.health.is_draining:
            return _come_back("draining", 1)
        is_let_in = self.engine.admission.admit()
        if is_let_in is True or (is_let_in is not False and await is_let_in):
            return None
        return _come_back("too many new connections", COME_BACK_S)

    async def _connected(self, sid: str, environ: dict[str, str], auth: object = None) -> None:
        socket = self.engine.sockets.get(self.client_manager.eio_sid_from_sid(sid, "/"))
        if socket is not None:
            connects.add(1)
            self.chat.open(sid, socket)
            log.info("session_connected", session=sid, remote=environ.get("REMOTE_ADDR"))

    async def _disconnected(self, sid: str, reason: str) -> None:
        disconnects.add(1)
        self.chat.close(sid, reason)
        log.info("session_disconnected", session=sid, reason=reason)


GATEWAY = web.AppKey("gateway", Gateway)


async def create_app() -> web.Application:
    """The aiohttp application of one worker, from the environment's settings."""
    return build_app(Settings.from_environment())


def build_app(settings: Settings) -> web.Application:
    """The same from given settings."""
    logs.configure(settings)
    gateway = Gateway(settings)
    app = web.Application(client_max_size=settings.frame_max_bytes)
    app[GATEWAY] = gateway
    gateway.sio.attach(app, "socket.io")
    app.router.add_get("/healthz", _late(gateway, "healthz"))
    app.router.add_get("/readyz", _late(gateway, "readyz"))
    app.router.add_get("/metrics", _late(gateway, "metrics"))
    app.cleanup_ctx.append(gateway.life)
    # Before aiohttp waits for the requests that are open, polls among them:
    app.on_shutdown.append(gateway.leave)
    return app


def connections(
    url: str, worker: str, route: Route, settings: Settings
) -> tuple[CommandStore, PubSub, ServerWatch, PrimaryFinder[Endpoint] | None]:
    """Commands and channels for a URL of any topology, and what notices that another primary took over."""
    name, watch = f"gateway-{worker}", ServerWatch()
    is_alone = not is_cluster(url) and "+sentinel://" not in url
    options = CommandOptions(
        timeout_s=settings.redis_timeout_s,
        unresponsive_s=settings.deaf_s,
        # With WAIT an answer may take long, and one of a server that was replaced lacks its replicas.
        stale_s=None if is_alone or settings.publish_wait_replicas else STALE_S,
        scripts=ALL,
    )
    if is_cluster(url):
        cluster = ClusterCommands(url, watch, name, options)
        return cluster, ClusterPubSub(cluster, watch, worker, settings.probe_s, settings.deaf_s), watch, None
    finder = FixedFinder(endpoint_of(url)) if is_alone else SentinelFinder(url)
    store = PrimaryCommands(finder, watch, name, options)
    pubsub = PrimaryPubSub(
        finder, store, watch, worker, route.subscribe_verb, settings.probe_s, settings.deaf_s
    )
    return store, pubsub, watch, finder


def engine_options(settings: Settings, worker: str) -> EngineOptions:
    """The engine's part of the settings."""
    return EngineOptions(
        worker=worker,
        ping_interval_s=settings.ping_interval_s,
        ping_timeout_s=settings.ping_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        max_payload_bytes=settings.frame_max_bytes,
        outbound_max_bytes=settings.outbound_max_bytes,
        outbound_mark_bytes=settings.outbound_mark_bytes,
        stuck_s=settings.stuck_s,
        compression=settings.compression,
        origins=settings.origins,
        trusted_proxies=settings.trusted_proxies,
    )


def admission_of(handshakes_per_s: int) -> AdmissionControl:
    """At most so many new sessions a second, a tenth of them at once; 0 is no limit. Whoever would have to wait for
    longer than is allowed is refused at once."""
    if handshakes_per_s == 0:
        return AdmissionControl()
    bucket = Bucket(handshakes_per_s, max(1.0, handshakes_per_s / 10), time.monotonic())
    return AdmissionControl(bucket.take, handshakes_per_s * WAIT_MAX_S)


def publish_options(settings: Settings) -> PublishOptions:
    """The publisher's part of the settings."""
    return PublishOptions(
        history_messages=settings.history_messages,
        history_ttl_s=settings.history_ttl_s,
        position_ttl_s=settings.position_ttl_s,
        idempotency_ttl_s=settings.idempotency_ttl_s,
        wait_replicas=settings.publish_wait_replicas,
        wait_s=settings.redis_timeout_s / 2,
    )


def presence_options(settings: Settings) -> PresenceOptions:
    """Presence's part of the settings."""
    return PresenceOptions(
        system_name=settings.system_name,
        notices_users_max=settings.notices_users_max,
        grace_s=settings.grace_s,
        heartbeat_s=settings.heartbeat_s,
    )


def _drop(store: CommandStore, pubsub: PubSub, reason: str) -> None:
    store.drop(reason)
    pubsub.drop(reason)


def _late(gateway: Gateway, question: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A route to the worker's health, which is made when the worker starts."""

    async def answer(request: web.Request) -> web.Response:
        found: web.Response = await getattr(gateway.health, question)(request)
        return found

    return answer


def _come_back(why: str, after_s: int) -> web.Response:
    return web.json_response({"code": 503, "message": why}, status=503, headers={"Retry-After": str(after_s)})


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
