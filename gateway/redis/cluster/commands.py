"""Commands to a Redis Cluster, as if it were one server.

Owns the map of slots and one connection for commands per primary. Promises what `CommandStore` promises, and that
commands for one slot keep their order while the slot moves:

- a node turns some away (MOVED, ASK, TRYAGAIN); they wait, and what is submitted meanwhile for that slot behind them;
- once nothing of the slot is under way, all go on in their order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from redis.crc import key_slot

from gateway.background import Background
from gateway.errors import StoreMoved, StoreUnavailable, Trouble
from gateway.interfaces import CommandEvents, OnReply, Reply
from gateway.metrics import store_reconnects
from gateway.pauses import woken_within
from gateway.redis.address import Endpoint, open_with_scripts, with_address
from gateway.redis.cluster.node import Node, read_map
from gateway.redis.cluster.redirects import (
    AGAIN_S,
    ASKING,
    RedirectedCommand,
    SlotRedirect,
    ignore,
    is_redirect,
)
from gateway.redis.cluster.slot_map import (
    SLOTS,
    Address,
    SlotMap,
    address_of,
    one_for_each,
    seeds_of,
)
from gateway.redis.commands import CommandCalls, no_connection
from gateway.redis.connection import CommandConnection, CommandOptions
from gateway.redis.reconnect import ReconnectingConnection
from gateway.redis.server_watch import ServerWatch

log = structlog.get_logger("gateway.store")

REFRESH_S = 1.0
"""Time between two looks at the map of slots when nothing asks for one sooner."""


class ClusterCommands(CommandCalls):
    """Commands to the primary that holds the key."""

    def __init__(self, url: str, watch: ServerWatch, name: str, options: CommandOptions) -> None:
        """`name` is the connections', as Redis lists them. Raises ValueError for a URL that names no node."""
        self._seeds = seeds_of(url)
        self._watch = watch
        self._name = name
        self._options = options
        self._owners: list[Address | None] = [None] * SLOTS
        self._names: dict[Address, str] = {}
        self._told = self._owners.copy()  # as the channels know it: MOVED changes single owners before that
        self._nodes: dict[Address, Node] = {}
        self._under_way: dict[int, int] = {}  # slot -> commands without an answer
        self._redirects: dict[int, SlotRedirect] = {}
        self._has_map = False
        self._failure: StoreUnavailable | None = None  # of the last node that was asked for the map in vain
        self._look = asyncio.Event()
        self._first = asyncio.Event()
        self._background = Background("cluster")
        self._events: CommandEvents | None = None

    @property
    def is_up(self) -> bool:
        """Whether every slot has a primary that is connected."""
        nodes = self._nodes.values()
        return bool(nodes) and all(node.reconnecting.connection is not None for node in nodes)

    @property
    def pending(self) -> int:
        """Commands without an answer."""
        found = [node.reconnecting.connection for node in self._nodes.values()]
        return sum(each.pending for each in found if each is not None)

    @property
    def trouble(self) -> Trouble | None:
        """Why some slots cannot be reached, or None."""
        for node in self._nodes.values():
            if node.reconnecting.connection is None:
                return no_connection(node.reconnecting.failure)
        if not self._has_map:
            return no_connection(self._failure)
        if None in self._owners:
            down = "The Cluster is down: some slots have no primary"
            return Trouble(down, "waiting helps when every slot has one again")
        return None

    @property
    def has_slots(self) -> bool:
        """Each key has a slot, and each slot a primary."""
        return True

    def homes(self, key_of: Callable[[int], bytes]) -> list[int]:
        """One number for each primary, of which `key_of` makes a key that it holds."""
        return one_for_each(lambda number: self.owner(key_of(number)), len(self._nodes))

    def owner(self, key: bytes) -> Address | None:
        """The primary that holds a key, or a sharded channel."""
        return self._owners[key_slot(key)]

    def primaries(self) -> dict[Address, int]:
        """Every primary with one of its slots."""
        return {owner: slot for slot, owner in reversed(list(enumerate(self._owners))) if owner is not None}

    def endpoint(self, address: Address) -> Endpoint:
        """How to connect to a node."""
        return with_address(self._seeds[0], *address)

    def server(self, key: bytes) -> str:
        """Which server process holds a key; empty while there is no connection to it."""
        owner = self.owner(key)
        node = self._nodes.get(owner) if owner is not None else None
        connection = node.reconnecting.connection if node is not None else None
        return connection.server if connection is not None else ""

    @property
    def has_origins(self) -> bool:
        """The nodes of a shard bring each other's messages, also while two of them take themselves for the primary."""
        return True

    def origin(self, key: bytes) -> str:
        """The node that holds a key; empty while it is not known."""
        owner = self.owner(key)
        return self._names.get(owner, "") if owner is not None else ""

    def submit(self, key: bytes, command: bytes, on_reply: OnReply) -> None:
        slot = key_slot(key)
        waiting = RedirectedCommand(command, on_reply, time.monotonic() + self._options.timeout_s)
        if (redirect := self._redirects.get(slot)) is not None:
            redirect.held.append(waiting)
            waiting.begin_to_wait()
        else:
            self._send(slot, waiting)

    def drop(self, reason: str) -> None:
        """Looks at the map again; a node that does not answer drops by itself."""
        self._look.set()

    def retry_now(self) -> None:
        """The Cluster answers somebody: without a connection to a node, tries again at once."""
        for node in self._nodes.values():
            node.reconnecting.retry_now()

    async def start(self, limit_s: float, events: CommandEvents | None = None) -> None:
        """Connects in the background and waits up to `limit_s` for a whole Cluster; does not insist on it."""
        self._events = events
        self._background.keep(self._follow(), "cluster map")
        await woken_within(self._first, limit_s)

    async def close(self) -> None:
        """Ends all connections."""
        await self._background.close()
        for node in list(self._nodes.values()):
            await node.reconnecting.close()

    # -- commands

    def _send(self, slot: int, waiting: RedirectedCommand) -> None:
        address = waiting.ask or self._owners[slot]
        node = self._nodes.get(address) if address is not None else None
        connection = node.reconnecting.connection if node is not None else None
        if waiting.is_answered:
            return
        if connection is None:
            self._look.set()
            waiting.answer(StoreUnavailable("no connection to the node that holds the room"))
            return
        self._under_way[slot] = self._under_way.get(slot, 0) + 1
        if waiting.ask is not None:
            connection.submit(ASKING, ignore)
        connection.submit(waiting.command, lambda reply: self._answered(slot, waiting, reply))

    def _answered(self, slot: int, waiting: RedirectedCommand, reply: Reply) -> None:
        left = self._under_way[slot] - 1
        if left:
            self._under_way[slot] = left
        else:
            del self._under_way[slot]
        if is_redirect(reply) and time.monotonic() < waiting.until_s:
            self._turn(slot, waiting, str(reply))
        else:
            waiting.answer(StoreUnavailable(str(reply)) if isinstance(reply, StoreMoved) else reply)
        if not left and slot in self._redirects:
            self._end_redirect(slot)

    def _turn(self, slot: int, waiting: RedirectedCommand, words: str) -> None:
        redirect = self._redirects.setdefault(slot, SlotRedirect())
        redirect.turned.append(waiting)
        waiting.ask = None
        waiting.begin_to_wait()
        kind, *rest = words.split()
        if kind == "TRYAGAIN":
            redirect.not_before_s = time.monotonic() + AGAIN_S
            return
        address = address_of(rest[1], self._owners[slot])
        self._node(address)
        if kind == "ASK":
            waiting.ask = address
        else:
            self._owners[slot] = address
            self._look.set()
        if self._nodes[address].reconnecting.connection is None:
            redirect.not_before_s = time.monotonic() + AGAIN_S

    def _end_redirect(self, slot: int) -> None:
        """Sends what waited, in its order; a little later if the keys are moving at this moment."""
        wait_s = self._redirects[slot].not_before_s - time.monotonic()
        if wait_s > 0:
            self._redirects[slot].not_before_s = 0.0
            asyncio.get_running_loop().call_later(wait_s, self._end_redirect, slot)
            return
        redirect = self._redirects.pop(slot)
        for waiting in (*redirect.turned, *redirect.held):
            self._send(slot, waiting)

    # -- the map

    async def _follow(self) -> None:
        """Woken every second, or at once when a node turned something away or broke; ended by `close`."""
        while True:
            self._look.clear()
            try:
                self._adopt(await read_map(list(self._nodes.values()), self._seeds, self._new, self._name))
            except StoreUnavailable as error:
                self._failure = error
                log.debug("cluster_map_unread", reason=str(error))
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._look.wait()
                    await asyncio.sleep(AGAIN_S)
            except TimeoutError:
                pass

    def _adopt(self, slots: SlotMap) -> None:
        owners, self._names = slots
        is_changed = owners != self._told
        self._owners, self._has_map, self._failure = owners, True, None
        wanted = {owner for owner in owners if owner is not None}
        for address in wanted:
            self._node(address)
        left = [node.last for one, node in self._nodes.items() if one not in wanted and node.last is not None]
        for address in [one for one in self._nodes if one not in wanted]:
            node = self._nodes.pop(address)
            self._background.run(node.reconnecting.close(), "end of a connection")
        if is_changed:
            self._told = owners.copy()
            log.info("cluster_map_changed", primaries=len(wanted))
            self._watch.server_left(
                max((connection.heard_at_s for connection in left), default=time.monotonic())
            )
            if self._events is not None:
                self._events.on_slots_moved()

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            reconnecting: ReconnectingConnection[CommandConnection] = ReconnectingConnection(
                f"commands {address[0]}:{address[1]}",
                lambda lost: self._connect(address, lost),
                lambda connection: self._up(address, connection),
                self._down,
                store_reconnects,
            )
            node = self._nodes[address] = Node(address, reconnecting)
            reconnecting.start()
        return node

    async def _connect(self, address: Address, on_lost: Callable[[], None]) -> CommandConnection:
        return await open_with_scripts(self.endpoint(address), lambda: self._new(on_lost), self._name)

    def _new(self, on_lost: Callable[[], None] = lambda: None) -> CommandConnection:
        return CommandConnection(on_lost, self._options)

    def _up(self, address: Address, connection: CommandConnection) -> None:
        node = self._nodes.get(address)
        if node is not None:
            last, node.last = node.last or connection, connection
            self._watch.connected(f"commands {address[0]}:{address[1]}", connection.server, last.heard_at_s)
        asyncio.get_running_loop().call_soon(self._tell_up)

    def _tell_up(self) -> None:
        if self.is_up and None not in self._owners:
            self._first.set()
        if self._events is not None:
            self._events.on_commands_up()

    def _down(self) -> None:
        self._look.set()
