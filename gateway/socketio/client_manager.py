"""python-socketio's shared channel, kept working on our own connections.

Owns what `socketio.AsyncRedisManager` does: emits, disconnects and room changes from other processes reach the
members here. What other processes publish comes through the hub, and what is published here goes through the command
store, so that both survive a reconnect as those do. Its rooms are python-socketio's own and, for `/`, the chat rooms.
Every private part of the libraries that is used here stands in the list of `transport/server.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import socketio
import structlog
from bidict import ValueDuplicationError
from socketio import packet as socketio_packet

from gateway import keys
from gateway.background import Background
from gateway.interfaces import ChatRooms, CommandStore, PubSub
from gateway.metrics import emits_refused
from gateway.names import normal_form
from gateway.rooms.hub import Hub
from gateway.socketio.foreign import NODES, Unreadable, read_message

log = structlog.get_logger("gateway.client_manager")

INBOX_MAX = 10_000
"""Emits from other processes that may wait to be handled; more are dropped, counted and logged."""

FOREIGN_CHANNELS_WITHIN_S = 2.0
"""The channels of Node's adapters are given up if Redis does not confirm them in this time: it may forbid them."""


class ClientManager(socketio.AsyncRedisManager):  # type: ignore[misc]
    """The manager of clients for the gateway's `SocketServer`."""

    name = "gateway"

    def __init__(self) -> None:
        super().__init__(channel=keys.SOCKETIO_CHANNEL.decode())
        # The library's: the task that handles what is in the inbox, once `serve` was called.
        self.thread: asyncio.Task[None] | None = None
        self._background = Background("client manager")
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(INBOX_MAX)
        # All three are None until `serve` is called.
        self._store: CommandStore | None = None
        self._hub: Hub | None = None
        self._chat: ChatRooms | None = None
        # Which kinds of messages that nobody here can read were logged already.
        self._logged: set[str] = set()
        # The rooms that a client of a namespace has entered, its own not among them.
        self._entered: dict[tuple[str, str], set[Any]] = {}

    def serve(self, store: CommandStore, hub: Hub, chat: ChatRooms) -> None:
        """Begins to take what the hub receives for no room."""
        self._store, self._hub, self._chat = store, hub, chat
        self.server.manager_initialized = True
        self.thread = self._background.keep(self._thread(), "emits of other processes")

    async def watch_for_others(self, pubsub: PubSub, within_s: float = FOREIGN_CHANNELS_WITHIN_S) -> None:
        """Listens to the channels of Node's adapters, only to say that they are not understood. Not while Redis is
        away. Ends when Redis has confirmed them, or has not in time: its user may be forbidden to listen there."""
        if pubsub.unhealthy_reason is not None:
            return
        confirmed = [pubsub.subscribe(channel) for channel in keys.NODE_CHANNELS]
        _, late = await asyncio.wait(confirmed, timeout=within_s)
        if late:
            for channel in keys.NODE_CHANNELS:
                pubsub.unsubscribe(channel)

    def on_foreign_message(self, channel: bytes, payload: bytes) -> None:
        """Another process published on a channel that is no room's: what is for python-socketio waits in the inbox."""
        if keys.is_nodes(channel):
            self._refuse(*NODES)
        if channel != keys.SOCKETIO_CHANNEL:
            return
        try:
            self._inbox.put_nowait(payload)
        except asyncio.QueueFull:
            self._refuse("inbox_full", f"More than {INBOX_MAX} emits of other processes wait.")

    def _refuse(self, kind: str, sentence: str) -> None:
        """Counts what cannot be done, and logs it the first time: a publisher that is wrong is wrong with every
        message."""
        emits_refused.because(kind)
        if sentence not in self._logged:
            self._logged.add(sentence)
            log.warning("emit_refused", kind=kind, reason=sentence, further_ones="are counted only")

    async def _thread(self) -> None:
        """Woken by each message in the inbox; ended by `close`. A message that is wrong spoils itself alone."""
        while True:
            payload = await self._inbox.get()
            try:
                message = read_message(payload)
                if message is not None:
                    await self._handle(message)
            except Unreadable as unreadable:
                self._refuse(unreadable.kind, unreadable.sentence)
            except Exception as error:
                self._refuse("malformed", f"It could not be done: {type(error).__name__}.")

    async def _handle(self, message: dict[str, Any]) -> None:
        """Does what a message says, unless this worker has said it; answers to its own callbacks it must hear."""
        method = message["method"]
        if method == "callback" or message.get("host_id") != self.host_id:
            await getattr(self, f"_handle_{method}")(message)

    async def _publish(self, data: Any) -> None:
        assert self._store is not None
        await self._store.call(keys.SOCKETIO_CHANNEL, "PUBLISH", keys.SOCKETIO_CHANNEL, self.json.dumps(data))

    async def close(self) -> None:
        """Stops handling what other processes say."""
        await self._background.close()

    # -- rooms
    #
    # The base class gives each client a room of its own and looks through every room at each disconnect. Here a
    # client's own room is its entry in the list of all clients, and its other rooms are remembered by client.

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        """Registers a client that is not yet accepted; None if it already is."""
        sid: str = self.server.eio.generate_id()
        try:
            self.basic_enter_room(sid, namespace, None, eio_sid=eio_sid)
        except ValueDuplicationError:
            return None
        self.pending_connect.setdefault(namespace, []).append(sid)
        return sid

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        if room is not None:
            self._entered.setdefault((namespace, sid), set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        self._entered.get((namespace, sid), set()).discard(room)

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        for room in self._entered.pop((namespace, sid), ()):
            super().basic_leave_room(sid, namespace, room)
        super().basic_leave_room(sid, namespace, None)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """(sid, Engine.IO sid) of who is in a room here, or in any of several, each once; for `/` the members of chat
        rooms too. No room is everybody."""
        if isinstance(room, list | tuple):
            together = {sid: eio_sid for one in room for sid, eio_sid in self._in_room(namespace, one)}
            return iter(together.items())
        return self._in_room(namespace, room)

    def _in_room(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        eio_sid = self.rooms.get(namespace, {}).get(None, {}).get(room) if isinstance(room, str) else None
        if eio_sid is not None:  # a client's own room
            yield room, eio_sid
            return
        seen: set[str] = set()
        for sid, eio_sid in super().get_participants(namespace, room):
            seen.add(sid)
            yield sid, eio_sid
        chat = None
        if self._hub and namespace == "/" and isinstance(room, str):
            chat = self._hub.rooms.get(normal_form(room))
        for member in list(chat.members.values()) if chat is not None else ():
            if member.session not in seen:
                yield member.session, member.socket.sid

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        """The rooms of a client."""
        rooms = [sid, *self._entered.get((namespace, sid), ())]
        if self._hub is not None and namespace == "/":
            rooms += [chat.name for chat in self._hub.rooms.values() if sid in chat.members]
        return rooms

    # -- what other processes do to rooms

    async def _handle_leave_room(self, message: dict[str, Any]) -> None:
        """A client leaves a room: python-socketio's, and the chat room of that name."""
        await super()._handle_leave_room(message)
        await self._take_out(message, [message["sid"]])

    async def _handle_close_room(self, message: dict[str, Any]) -> None:
        """Everybody leaves a room. A client's own room cannot be closed."""
        namespace, room = message.get("namespace") or "/", message["room"]
        if self.is_sid_room(namespace, room):
            raise Unreadable("malformed", "A client's own room cannot be closed.")
        present = [sid for sid, _ in self.get_participants(namespace, room)]
        await super()._handle_close_room({**message, "namespace": namespace})
        await self._take_out(message, present)

    async def _take_out(self, message: dict[str, Any], sids: list[str]) -> None:
        room = message["room"]
        if self._chat is not None and (message.get("namespace") or "/") == "/" and isinstance(room, str):
            await asyncio.gather(*(self._chat.take_out(sid, normal_form(room)) for sid in sids))

    # -- emits

    async def _handle_emit(self, message: dict[str, Any]) -> None:
        if message.get("callback") is not None or message.get("binary"):
            await super()._handle_emit(message)
            return
        data = message.get("data")
        arguments = data if isinstance(data, list) else [data]
        self._fan_out(message, message.get("namespace") or "/", arguments)

    def _fan_out(self, message: dict[str, Any], namespace: str, arguments: list[Any]) -> None:
        """One packet, encoded once, to every local member: a plain loop."""
        skipped = message.get("skip_sid")
        skipped = skipped if isinstance(skipped, list) else [skipped]
        if arguments == [None]:
            arguments = []
        encoded = socketio_packet.Packet(
            socketio_packet.EVENT, namespace=namespace, data=[message["event"], *arguments]
        ).encode()
        packet = b"4" + encoded.encode()
        sockets = self.server.eio.sockets
        for sid, eio_sid in self.get_participants(namespace, message.get("room")):
            if sid not in skipped and (socket := sockets.get(eio_sid)) is not None:
                socket.send_text(packet)
