"""Hosts of their own on this machine: network namespaces with a gateway each, HAProxy before them, Valkey on a third.

Owns the namespaces and all that runs in them, and leaves nothing behind. The machine's own network is not touched: the
balancer gets its port of loopback as an open socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.support.balancers import DEPLOY
from tests.support.binaries import missing, program
from tests.support.gateways import Gateway, fetch_json
from tests.support.servers import ASK_LIMIT_S, PERSISTENCE, Valkey
from tests.support.waiting import until

NETWORK = "10.91.0"
PORT = 8006
NOBODY = "02:00:00:00:00:01"
"""A hardware address that no host has: what is sent to it is lost, and nobody says so."""
START_LIMIT_S = 30.0
ASK_READY = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode())
except urllib.error.HTTPError as refused:
    print(refused.read().decode())
"""


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace, with one address."""

    space: str
    port: str
    """The end of its cable at the switch."""
    address: str

    def inside(self, *command: str) -> list[str]:
        """A command that runs on it."""
        return [program("ip"), "netns", "exec", self.space, *command]

    def ip(self, *command: str) -> None:
        _ip("-n", self.space, *command)


@dataclass(frozen=True, slots=True)
class Network:
    """The hosts, all on one switch."""

    switch: str
    hosts: dict[str, Host]

    @contextmanager
    def cut(self, one: Host, other: Host) -> Iterator[None]:
        """Nothing that one sends reaches the other meanwhile, and neither is told."""
        both = ((one, other), (other, one))
        for here, there in both:
            here.ip("neigh", "replace", there.address, "lladdr", NOBODY, "nud", "permanent", "dev", "eth0")
        try:
            yield
        finally:
            for here, there in both:
                here.ip("neigh", "del", there.address, "dev", "eth0")

    def unplug(self, host: Host) -> None:
        """Nothing reaches it or leaves it any more, and nobody is told."""
        _ip("-n", self.switch, "link", "set", host.port, "nomaster")

    def plug(self, host: Host) -> None:
        """It is back on the switch."""
        _ip("-n", self.switch, "link", "set", host.port, "master", "br0")


class DistantValkey(Valkey):
    """Valkey on a host of its own; asked over a Unix socket, which knows no network."""

    def __init__(self, host: Host, *options: str) -> None:
        super().__init__(*options)
        self.host = host

    @property
    def url(self) -> str:
        return f"redis://{self.host.address}:{self.port}/0"

    async def ask(self, *command: str | int | bytes) -> Any:
        client = redis.Redis(
            unix_socket_path=str(self.folder / "socket"),
            socket_timeout=ASK_LIMIT_S,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        finally:
            await client.aclose()

    def _command(self, is_replica: bool = True) -> list[str]:
        command = super()._command(is_replica)
        command[command.index("--bind") + 1] = self.host.address
        return self.host.inside(
            *command, "--unixsocket", str(self.folder / "socket"), "--protected-mode", "no"
        )


class DistantGateway(Gateway):
    """A gateway on a host of its own."""

    def __init__(self, host: Host, redis_url: str, workers: int, **environment: str) -> None:
        own = {"GATEWAY_HOST": host.address, "PORT": str(PORT)}
        super().__init__(redis_url, workers, environment={**own, **environment})
        self.host = host
        self._command = tuple(host.inside(*self._command))

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{PORT}"

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        asking = await asyncio.create_subprocess_exec(
            *self.host.inside(sys.executable, "-c", ASK_READY, f"{self.url}/readyz"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        answer, _ = await asking.communicate()
        if asking.returncode != 0:
            return 0, {}
        told = json.loads(answer)
        return 200 if told["ready"] else 503, told


@dataclass(frozen=True, slots=True)
class Site:
    """Two hosts with a gateway each, Valkey on a third, HAProxy on a fourth."""

    network: Network
    gateways: tuple[DistantGateway, DistantGateway]
    store: DistantValkey
    url: str
    """Where people come in: HAProxy, by loopback."""


@asynccontextmanager
async def two_hosts(workers: int, **environment: str) -> AsyncIterator[Site]:
    """All of it, once both gateways are ready and HAProxy passes requests to them."""
    async with AsyncExitStack() as stack:
        network = stack.enter_context(_network("one", "two", "store", "front"))
        hosts = network.hosts
        store = DistantValkey(hosts["store"], *PERSISTENCE["always"])
        stack.callback(store.close)
        await store.start()
        environment = {"GATEWAY_TRUSTED_PROXIES": hosts["front"].address, **environment}
        one, two = (DistantGateway(hosts[name], store.url, workers, **environment) for name in ("one", "two"))
        for gateway in (one, two):
            await stack.enter_async_context(gateway)
        yield Site(
            network, (one, two), store, await stack.enter_async_context(_front(hosts["front"], (one, two)))
        )


@asynccontextmanager
async def _front(host: Host, gateways: tuple[DistantGateway, DistantGateway]) -> AsyncIterator[str]:
    """HAProxy on its host, with a socket of loopback for people; its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        places = {f"GATEWAY_{n}": f"{each.host.address}:{PORT}" for n, each in enumerate(gateways, 1)}
        process = subprocess.Popen(
            host.inside(program("haproxy"), "-db", "-f", str(DEPLOY / "haproxy.cfg")),
            env={**os.environ, **places, "LISTEN": f"fd@{listening.fileno()}"},
            pass_fds=(listening.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        await until(lambda: _passes(url), START_LIMIT_S, "HAProxy passes requests")
        yield url
    finally:
        process.kill()
        process.wait(timeout=5)


async def _passes(url: str) -> bool:
    return (await fetch_json(f"{url}/readyz"))[0] == 200


@contextmanager
def _network(*names: str) -> Iterator[Network]:
    """A switch, and a host for each name on it; skips the test where that is not allowed."""
    if os.geteuid() != 0:
        missing("network namespaces need root")
    tag = f"gw{os.getpid()}"
    switch, spaces = f"{tag}-switch", {name: f"{tag}-{name}" for name in names}
    made: list[str] = []
    try:
        for space in (switch, *spaces.values()):
            ran = subprocess.run(
                [program("ip"), "netns", "add", space], capture_output=True, text=True, timeout=10
            )
            if ran.returncode != 0:
                missing(f"no network namespaces here: {ran.stderr.strip()}")
            made.append(space)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        hosts = {name: _plugged(switch, space, n) for n, (name, space) in enumerate(spaces.items(), 11)}
        yield Network(switch, hosts)
    finally:
        for space in made:
            _ip("netns", "del", space)


def _plugged(switch: str, space: str, number: int) -> Host:
    host = Host(space, f"port{number}", f"{NETWORK}.{number}")
    _ip("-n", switch, "link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("-n", switch, "link", "set", host.port, "master", "br0", "up")
    host.ip("addr", "add", f"{host.address}/24", "dev", "eth0")
    for device in ("lo", "eth0"):
        host.ip("link", "set", device, "up")
    return host


def _ip(*command: str) -> None:
    ran = subprocess.run([program("ip"), *command], capture_output=True, text=True, timeout=10)
    assert ran.returncode == 0, f"ip {' '.join(command)}: {ran.stderr}"
