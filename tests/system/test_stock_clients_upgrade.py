"""Stock clients that move from polling to WebSocket while they talk: nothing is lost or doubled on the way.

Each round has a fresh room; its clients join, send and listen while their upgrade is under way, on four workers.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.binaries import program
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.slow_upgrades import SlowUpgrades
from tests.support.stock_clients import JS_FOLDER, PythonClient
from tests.support.waiting import until

DELAYS_S = (0.0, 0.01, 0.02, 0.03, 0.03, 0.04, 0.04, 0.05)
"""How long each round holds up what is sent over WebSocket: the request, the probe, the upgrade, each so long."""

TIMES_MOST = 3
"""How often all rounds are made on a machine on which hardly any client moves while messages come."""

CLIENTS = 6
SENDS = 15
"""Below the burst of 20 sends that a connection may make."""

PAUSE_MS = 3
LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one client saw: positions as seqs, texts in order of arrival, and which transports they came by."""

    transport: str
    joined_at: int
    sent: list[int]
    received: list[tuple[int, str]]
    connects: int


def seq_of(position: str) -> int:
    """The number in a position."""
    return int(position.rpartition(":")[2])


def judge(client: Seen, truth: dict[int, str]) -> None:
    """Every message once and in order, from the history that the join brought to the room's last."""
    seqs = [seq for seq, _ in client.received]
    assert seqs == list(range(min(seqs), max(truth) + 1)), f"lost, doubled or out of order: {seqs}"
    assert min(seqs) <= client.joined_at + 1
    assert dict(client.received) == {seq: truth[seq] for seq in seqs}
    assert set(client.sent) <= set(seqs)
    assert client.transport == "websocket"
    assert client.connects == 1


def judge_round(witness: Member, clients: list[Seen], prefix: str) -> None:
    """What was acknowledged is stored once; everybody has it."""
    truth = {seq_of(data["id"]): data["message"] for data in witness.received if "id" in data}
    assert sorted(truth) == list(range(1, CLIENTS * SENDS + 1))
    assert sorted(truth.values()) == sorted(
        f"{prefix}-{number}-{each}" for number in range(CLIENTS) for each in range(SENDS)
    )
    assert sorted(seq for client in clients for seq in client.sent) == sorted(truth)
    for client in clients:
        judge(client, truth)


async def fresh_room(gateway: Gateway, connect: Opener) -> tuple[str, Member]:
    """A room of this round's own, and somebody in it who never upgrades."""
    room = f"upgrade-{uuid.uuid4().hex}"
    witness = await connect(gateway.url)
    await witness.join("witness", room)
    return room, witness


async def until_all_came(witness: Member, room: str) -> None:
    """Waits until the witness has every message of a round."""
    await until(lambda: len(witness.ids(room)) >= CLIENTS * SENDS, LIMIT_S, "the witness has every message")


@asynccontextmanager
async def node_clients(url: str, room: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Node process with this round's clients; killed if it does not end by itself."""
    task = {"url": url, "room": room, "clients": CLIENTS, "sends": SENDS}
    limits = {"pauseMs": PAUSE_MS, "limitMs": LIMIT_S * 500}
    process = await asyncio.create_subprocess_exec(
        program("node"), "upgrading.js", json.dumps(task | limits), cwd=JS_FOLDER,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def read_clients(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """One line of each client."""
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_S):
        return [json.loads(await process.stdout.readline()) for _ in range(CLIENTS)]


def of_node(told: dict[str, Any]) -> Seen:
    """A client's line as what it saw."""
    received = [(seq_of(position), text) for position, text, _ in told["received"]]
    sent = [seq_of(position) for position in told["sent"]]
    return Seen(told["transport"], seq_of(told["at"]), sent, received, told["connects"])


async def test_javascript_clients_upgrade_during_traffic(
    javascript: None, gateway: Gateway, connect: Opener
) -> None:
    moved_within = 0
    for turn, delay_s in enumerate(DELAYS_S * TIMES_MOST):
        if turn >= len(DELAYS_S) and moved_within > CLIENTS:
            break
        room, witness = await fresh_room(gateway, connect)
        async with SlowUpgrades(gateway.port, delay_s) as relay, node_clients(relay.url, room) as process:
            told = await read_clients(process)
            await until_all_came(witness, room)
        judge_round(witness, [of_node(each) for each in told], "js")
        ways = [{transport for _, _, transport in each["received"]} for each in told]
        moved_within += ways.count({"polling", "websocket"})
    assert moved_within > CLIENTS, "hardly any client moved while messages came: the rounds tried nothing"


def has_last(client: PythonClient) -> bool:
    """Whether the client has the last message of a round."""
    return any(seq == CLIENTS * SENDS for seq, _ in _received(client))


async def python_client(url: str, room: str, number: int) -> tuple[PythonClient, int, list[int]]:
    """Connects, and joins and sends at once; the position at the join, and those of its sends."""
    client = PythonClient()
    await client.connect(url, "upgrade")
    joined = await client.call("join", {"username": f"py-{number}", "room": room})
    answers = [
        await client.call("send", {"room": room, "message": f"py-{number}-{each}"}) for each in range(SENDS)
    ]
    return client, seq_of(joined["id"]), [seq_of(answer["id"]) for answer in answers]


async def test_python_clients_upgrade_during_traffic(gateway: Gateway, connect: Opener) -> None:
    for delay_s in DELAYS_S:
        room, witness = await fresh_room(gateway, connect)
        async with SlowUpgrades(gateway.port, delay_s) as relay:
            done = await asyncio.gather(
                *(python_client(relay.url, room, number) for number in range(CLIENTS))
            )
            await until_all_came(witness, room)
            for each, *_ in done:
                await until(partial(has_last, each), what="the room's last message")
            seen = [
                Seen(each.transport, joined_at, sent, _received(each), each.connects)
                for each, joined_at, sent in done
            ]
            await asyncio.gather(*(each.close() for each, *_ in done))
        judge_round(witness, seen, "py")


def _received(client: PythonClient) -> list[tuple[int, str]]:
    return [(seq_of(data["id"]), data["message"]) for data in client.received if "id" in data]
