"""One worker's chat without its HTTP server: real store, bus and rooms below, recorded sockets above.

Owns its connections and small tasks, and closes them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway import keys
from gateway.access.connection_limits import ConnectionLimits
from gateway.access.identity import GUEST, Identity, Open, nowhere
from gateway.access.new_rooms import NewRooms
from gateway.access.permissions import Hook, Permissions
from gateway.access.revocations import Revocations
from gateway.access.room_keeping import KeptByRule
from gateway.access.room_rules import RoomRules, open_to
from gateway.access.send_hook import SendHook
from gateway.background import Background
from gateway.chat.handlers import Chat
from gateway.chat.identities import Identities
from gateway.chat.judging import Judging
from gateway.chat.memberships import Memberships
from gateway.chat.moderated_rooms import ModeratedRooms
from gateway.chat.notices import Notices
from gateway.chat.parts import ChatParts
from gateway.chat.presence_tracker import PresenceTracker
from gateway.chat.reaper import Reaper
from gateway.chat.revoking import Revoking
from gateway.chat.sessions import Sessions
from gateway.chat.talking import TalkParts
from gateway.interfaces import PrimaryFinder, SocketEvents
from gateway.limit_options import WITHOUT_LIMITS
from gateway.option_groups import PresenceOptions, PublishOptions, Sizes
from gateway.protocol import Position
from gateway.redis.address import Endpoint, FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import CommandOptions
from gateway.redis.pubsub import PrimaryPubSub
from gateway.redis.server_watch import ServerWatch
from gateway.rooms.hub import Hub
from gateway.rooms.publisher import Publisher
from gateway.rooms.routes import route_for
from gateway.rooms.snapshot_source import RedisSnapshots
from gateway.server.words import words_of
from gateway.server.worker_parts import WorkerParts
from gateway.socketio.client_manager import ClientManager
from gateway.state.history import NO_POSITION, NOTHING, Histories, Observed, Snapshot
from gateway.state.presence import Presence
from gateway.state.read_marks import ReadMarks
from gateway.state.revocations import RevocationStore
from gateway.state.room_counts import RoomCounts
from gateway.state.sent import Sent
from gateway.state.workers import Workers
from gateway.timers import Timers
from tests.support.recorder import Recorder
from tests.support.scripts import KNOWN
from tests.support.waiting import until

TIMEOUT_S = 2.0
START_S = 10.0


class HeldHistories(Histories):
    """Reads snapshots like its base, and can be told to keep answers for a while."""

    is_held = False
    held = 0

    async def snapshot(
        self, room: str, observed: Observed = NOTHING, wanted: Position = NO_POSITION
    ) -> Snapshot:
        found = await super().snapshot(room, observed, wanted)
        if self.is_held:
            self.held += 1
            await until(lambda: not self.is_held, 10, "the answer is let go")
        return found


class ClientRecorder(Recorder):
    """A recorder as a chat session has it (`interfaces.ClientSocket`)."""

    events: SocketEvents | None = None
    refusals_charged = 0

    @property
    def unsent_bytes(self) -> int:
        """As many as were not read."""
        return self._unsent

    ended = ""

    def charge_refusal(self) -> None:
        """Counts it."""
        self.refusals_charged += 1

    is_read = True

    def stop_reading(self) -> None:
        """Nothing is read any more."""
        self.is_read = False

    def end(self, reason: str) -> None:
        """The connection is ended."""
        self.ended = reason


class Client:
    """A connected client of a worker: sends events, and keeps what comes back."""

    def __init__(
        self, chat: Chat, mark: int = 1_000_000, identity: Identity = GUEST, address: str | None = None
    ) -> None:
        self.recorder = ClientRecorder(mark=mark)
        self.sid = uuid.uuid4().hex
        self.session = chat.open(self.sid, self.recorder, identity, address)
        self.recorder.on_behind = self.session.on_behind
        self.recorder.on_drained = self.session.on_drained
        self._chat = chat
        self._numbers = itertools.count()

    async def connected(self, data: Any) -> None:
        """CONNECT, with this data, was answered."""
        waits = self.session.on_connected(data)
        if waits is not None:
            await waits

    async def call(self, event: str, *arguments: Any, limit_s: float = 10.0) -> dict[str, Any]:
        """Sends an event and returns what it is acknowledged with."""
        number = next(self._numbers)
        await self.emit(event, *arguments, ack=number)
        head = b"43%d[" % number
        found: list[bytes] = []

        def is_acknowledged() -> bool:
            found[:] = [packet for packet in self.recorder.packets if packet.startswith(head)]
            return bool(found)

        await until(is_acknowledged, limit_s, f"{event} is acknowledged")
        assert len(found) == 1, "acknowledged once"
        answer: dict[str, Any] = json.loads(found[0][len(head) - 1 :])[0]
        return answer

    async def emit(self, event: str, *arguments: Any, ack: int | None = None) -> None:
        """Hands an event to the chat as a socket does, and waits as long as it would."""
        waits = self.session.on_event(event, list(arguments), ack)
        if waits is not None:
            await waits

    async def join(self, room: str, username: str = "ann", **more: Any) -> dict[str, Any]:
        return await self.call("join", {"username": username, "room": room, **more})

    async def send(self, room: str, message: str, **more: Any) -> dict[str, Any]:
        return await self.call("send", {"room": room, "message": message, **more})

    def close(self) -> None:
        """The connection drops."""
        self._chat.close(self.sid, "transport close")

    def all_events(self) -> list[tuple[str, Any]]:
        """Name and data of all events, in order."""
        events = [json.loads(packet[2:]) for packet in self.recorder.packets if packet.startswith(b"42")]
        return [(name, data) for name, data in events]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The data of all events of that name, in order."""
        return [data for got, data in self.all_events() if got == name]

    def messages(self) -> list[str]:
        """Texts of the stored messages that came."""
        return [data["message"] for data in self.events("receive") if "id" in data]

    def notices(self) -> list[str]:
        """Texts of the notices that came."""
        return [data["message"] for data in self.events("receive") if "id" not in data]


class TokensCount:
    """Decides nothing: the tests say who a client is."""

    counts_tokens = True

    async def identify(self, token: str | None) -> Identity:
        return GUEST


def tokens_count() -> Identities:
    """Where tokens count."""
    return Identities(TokensCount(), nowhere, 0.0)


class ChatWorker:
    """Everything below the HTTP server, composed as `server/app.py` does it."""

    def __init__(
        self,
        redis_url: str,
        grace_s: float,
        route: str = "per-room",
        rooms_max: int = 100,
        empty_ttl_s: int = 900,
        new_rooms: int = 0,
        timeout_s: float = TIMEOUT_S,
        finder: PrimaryFinder[Endpoint] | None = None,
        identities: Identities | None = None,
        rules: RoomRules | None = None,
        hook: Hook | None = None,
        limits: ConnectionLimits | None = None,
        revocations: Revocations | None = None,
        send_hook: SendHook | None = None,
        is_lenient: bool = False,
        notices_users_max: int = 3,
    ) -> None:
        rules = rules or open_to(False)
        kept = KeptByRule(rules, PublishOptions())
        self.name, self.store_url = uuid.uuid4().hex[:8], redis_url
        self.timers = Timers()
        finder, words = finder or FixedFinder(endpoint_of(redis_url)), route_for(route, False)
        watch = ServerWatch()
        patience = CommandOptions(timeout_s=timeout_s, unresponsive_s=2.5 * timeout_s, scripts=KNOWN)
        self.store = PrimaryCommands(finder, watch, f"test-{self.name}", patience)
        self.pubsub = PrimaryPubSub(finder, self.store, watch, self.name, words.subscribe_verb, 0.5, 1.5)
        self.histories = HeldHistories(self.store, 600, empty_ttl_s, kept)
        self.publisher = Publisher(self.store, words, PublishOptions(), keeping=kept)
        snapshots = RedisSnapshots(self.histories, self.pubsub, watch, words)
        self.hub = Hub(
            self.pubsub,
            words,
            snapshots,
            self.timers,
            grace_s + 0.2,
            self.publisher.tell_position,
            keeping=kept,
        )
        options = PresenceOptions(
            system_name="ChatBot", notices_users_max=notices_users_max, grace_s=grace_s, heartbeat_s=0.2
        )
        self.presence = Presence(self.store, self.name)
        self.workers = Workers(self.store, self.name, 1.0)
        self.notices = Notices(self.publisher, options, rules)
        self.sessions = Sessions()
        self.moderated = ModeratedRooms()
        self.tracker = PresenceTracker(
            self.sessions,
            self.presence,
            self.workers,
            self.notices,
            self.timers,
            options,
            RoomCounts(self.store, self.name),
            rules,
        )
        copy = revocations or Revocations()
        self.revoking = Revoking(RevocationStore(self.store), copy, self.sessions)
        self.reaper = Reaper(self.presence, self.workers, self.notices, self.tracker, options, self.revoking)
        permissions = Permissions(rules, hook)
        memberships = Memberships(
            self.hub,
            self.tracker,
            self.histories,
            NewRooms(new_rooms),
            rooms_max,
            permissions,
            self.moderated,
        )
        judging = Judging(send_hook, rules, Sent(self.store), is_lenient)
        self.chat = Chat(
            ChatParts(
                sessions=self.sessions, hub=self.hub, publisher=self.publisher, tracker=self.tracker,
                histories=self.histories, memberships=memberships, permissions=permissions,
                identities=identities or Identities(Open(), nowhere, 0.0),
                talk=TalkParts(self.store, ReadMarks(self.store, kept), options.notices_users_max, judging),
                sizes=Sizes(), limits=limits or ConnectionLimits(WITHOUT_LIMITS, rooms_max),
                limit_s=timeout_s * 0.95,
            )
        )  # fmt: skip
        parts = WorkerParts(
            store=self.store, pubsub=self.pubsub, kept=kept, hub=self.hub, publisher=self.publisher,
            histories=self.histories, presence=self.presence, tracker=self.tracker, sessions=self.sessions,
            moderated=self.moderated,
        )  # fmt: skip
        self.words = words_of(parts, self.chat, self.revoking, 0.3)
        self.control, self.moderation = self.words.control, self.words.moderation
        self.background = Background("test worker")
        self.foreign: list[bytes] = []
        self.client_manager: ClientManager | None = None
        self.restored = 0
        self.closed: list[str] = []
        self.hub.start(self)

    # -- from the hub

    def on_room_closed(self, name: str) -> None:
        """A room was given up."""
        self.closed.append(name)
        self.tracker.on_room_closed(name)

    def on_foreign_message(self, channel: bytes, payload: bytes) -> None:
        """What is no room's."""
        if channel == keys.CONTROL:
            self.control.on_message(payload)
            return
        self.foreign.append(payload)
        if self.client_manager is not None:
            self.client_manager.on_foreign_message(channel, payload)

    def on_restored(self) -> None:
        """Redis is back."""
        self.restored += 1

    def connect(self, **how: Any) -> Client:
        """A new client in `/`."""
        return Client(self.chat, **how)

    async def has_beaten(self) -> bool:
        """Whether the store knows this worker."""
        return await self.store.call(keys.WORKERS, "ZSCORE", keys.WORKERS, self.name) is not None

    async def users(self, room: str) -> list[str]:
        """Who is in a room, as the store has it."""
        return sorted((await self.presence.members(room, 200))[0])


@asynccontextmanager
async def chat_worker(redis_url: str, grace_s: float = 10.0, **how: Any) -> AsyncIterator[ChatWorker]:
    """A worker that hears and may publish."""
    worker = ChatWorker(redis_url, grace_s, **how)
    try:
        await asyncio.gather(
            worker.store.start(START_S, worker.pubsub), worker.pubsub.start(START_S, worker.hub)
        )
        worker.background.keep(worker.words.follower.run(), "moderation")
        yield worker
    finally:
        await worker.background.close()
        await worker.tracker.close()
        await worker.hub.close()
        await worker.pubsub.close()
        await worker.store.close()
        worker.timers.close()
