"""Connects of `/`: how many a user may have, and what refused ones cost their address."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.access.addresses import Addresses
from gateway.access.identity import GUEST, Identity, NotAdmitted, Reason
from gateway.access.users import Users
from gateway.chat.identities import Identities
from gateway.limit_options import LimitOptions
from gateway.server.clients import Clients
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from tests.support.chat_worker import chat_worker
from tests.support.clients import Member
from tests.support.serving import serving
from tests.support.waiting import until

PEER = "127.0.0.1"


class Known:
    """A token is the id of its user; one that is `bad` is refused."""

    counts_tokens = True

    async def identify(self, token: str | None) -> Identity:
        if token == "bad":
            raise NotAdmitted(Reason.INVALID, "Your token is not valid.")
        return GUEST if token is None else Identity(token, None, expires_at_s=time.time() + 600)


@asynccontextmanager
async def served(redis_url: str, users: Users, addresses: Addresses) -> AsyncIterator[str]:
    """A worker's chat behind its engine; its URL."""
    identities = Identities(Known(), lambda auth, environ: (auth or {}).get("token"), 25.0)  # type: ignore[attr-defined]
    async with chat_worker(redis_url, identities=identities) as worker:
        manager = ClientManager()
        sio = SocketServer(client_manager=manager, namespaces=["/"])
        manager.serve(worker.store, worker.hub, worker.chat)
        Clients(sio.eio, manager, worker.chat, addresses, users).listen(sio)
        app = web.Application()
        sio.attach(app)
        async with serving(app) as url:
            yield url
            await sio.eio.shutdown()
        await manager.close()


async def test_a_user_has_so_many_connections_and_a_place_is_free_when_one_ends(redis_url: str) -> None:
    users = Users(2)
    async with served(redis_url, users, Addresses(LimitOptions())) as url:
        tabs = [await Member.connect(url, auth={"token": "42"}) for _ in range(2)]
        with pytest.raises(ConnectionRefusedError) as refused:
            await Member.connect(url, auth={"token": "42"})
        told = json.loads(str(refused.value))
        assert told["data"] == {"code": "forbidden", "reason": "too_many_connections", "retryable": False}
        others = [
            await Member.connect(url, auth={"token": "43"}),
            *[await Member.connect(url) for _ in range(5)],
        ]
        await tabs.pop().close()
        await until(lambda: users.acquire("42") is not None, what="its place is free")
        for member in (*tabs, *others):
            await member.close()


async def test_refused_tokens_shut_their_address_out_and_too_many_connections_do_not(redis_url: str) -> None:
    addresses = Addresses(LimitOptions(address_failures_burst=2, shared_networks=()))
    async with served(redis_url, Users(1), addresses) as url:
        member = await Member.connect(url, auth={"token": "42"})
        for word, is_shut_out in (
            ("42", False),
            ("42", False),
            ("42", False),
            ("bad", False),
            ("bad", False),
            ("bad", True),
        ):
            with pytest.raises(ConnectionRefusedError):
                await Member.connect(url, auth={"token": word})
            assert (addresses.handshake(PEER, time.monotonic()) > 0) == is_shut_out
        assert addresses.handshake(PEER, time.monotonic()) == 60
        await member.close()
