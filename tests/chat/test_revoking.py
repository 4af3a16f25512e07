"""Sessions end when they are revoked or banned, on every worker, and who was ended is refused; on a real store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from gateway import keys
from gateway.access.identity import GUEST, Identity, NotAdmitted, Undecided
from gateway.access.revocations import Entry, Revocations
from gateway.chat.identities import Identities
from gateway.chat.revoking import Revoking
from gateway.metrics import revoked_sessions
from gateway.state.revocations import ENTRIES_MAX, PIECE, Change, RevocationStore, tokens_until, until
from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.servers import Valkey
from tests.support.waiting import stays
from tests.support.waiting import until as wait_until

FOR_EVER = until(0)
ADA_BANNED = Change("ban:ada", FOR_EVER)
ENDED_WITHIN_S = 5.0
"""The promise, also when the word is not heard."""


class ByWord:
    """Says who a client is by a word that stands for a token: `<user>[/<id>]`, issued `age_s` ago."""

    counts_tokens = True
    age_s = 100.0

    async def identify(self, token: str | None) -> Identity:
        if token is None:
            return GUEST
        user, _, token_id = token.partition("/")
        now_s = time.time()
        return Identity(user, None, token_id, now_s - self.age_s, now_s + 600)


class Worker:
    """A worker where tokens count, with its copy."""

    def __init__(self, chat: ChatWorker, copy: Revocations, words: ByWord) -> None:
        self.chat, self.copy, self.words = chat, copy, words
        self.store = RevocationStore(chat.store)

    async def connected(self, word: str | None, address: str | None = "192.0.2.1") -> Client:
        """A client that showed this token. Raises NotAdmitted or Undecided."""
        environ = {} if address is None else {"REMOTE_ADDR": address}
        identity = await self.chat.chat.identities.admit(environ, word)
        return self.chat.connect(identity=identity, address=address)

    async def reason(self, word: str | None, address: str | None = "192.0.2.1") -> str:
        """Why a client is refused; empty if it is not."""
        try:
            client = await self.connected(word, address)
        except NotAdmitted as refused:
            return f"{refused.code} {refused.reason.value}"
        client.close()
        return ""

    async def change(self, *changes: Change) -> None:
        await self.store.change(changes, time.time())


@asynccontextmanager
async def worker_at(url: str, beats: bool = False, reads: bool = True) -> AsyncIterator[Worker]:
    """A worker that follows what is revoked, by heartbeats too if `beats`."""
    copy, words = Revocations(), ByWord()
    identities = Identities(words, lambda auth, environ: auth, 25.0, copy)  # type: ignore[arg-type,return-value]
    async with chat_worker(url, timeout_s=2.0, identities=identities, revocations=copy) as chat:
        if reads:
            await chat.revoking.read()
        loops = [asyncio.create_task(chat.revoking.run())]
        loops += [asyncio.create_task(chat.reaper.run())] if beats else []
        try:
            yield Worker(chat, copy, words)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops)


@pytest.fixture
async def worker(server: Valkey) -> AsyncIterator[Worker]:
    async with worker_at(server.url) as worker:
        yield worker


def told(client: Client) -> list[tuple[str, str, bool]]:
    return [(one["code"], one["reason"], one["retryable"]) for one in client.events("error")]


async def ended(client: Client, limit_s: float = ENDED_WITHIN_S) -> None:
    await wait_until(lambda: client.recorder.ended, limit_s, "its connection ends")


CHANGES: list[tuple[str, Any, tuple[str, str, bool]]] = [
    ("user", lambda: tokens_until("ada", time.time(), 600), ("unauthorized", "revoked", False)),
    ("token", lambda: Change("jti:t1", until(time.time() + 600)), ("unauthorized", "revoked", False)),
    ("ban", lambda: ADA_BANNED, ("forbidden", "banned", False)),
    ("network", lambda: Change("ip:192.0.2.0/24", FOR_EVER), ("forbidden", "banned", False)),
]


@pytest.mark.parametrize(
    ("change", "error"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
async def test_who_is_refused_is_told_why_ended_and_refused_on_every_worker(
    server: Valkey, worker: Worker, change: Any, error: tuple[str, str, bool]
) -> None:
    async with worker_at(server.url) as other:
        ada, there = await worker.connected("ada/t1"), await other.connected("ada/t1", "192.0.2.2")
        ben = await worker.connected("ben/t2", "198.51.100.1")
        await worker.change(change())
        for client in (ada, there):
            await ended(client)
            assert told(client) == [error]
        assert [await each.reason("ada/t1") for each in (worker, other)] == [f"{error[0]} {error[1]}"] * 2
        assert not ben.recorder.ended
        assert await worker.reason("ben/t2", "198.51.100.1") == ""
        async with worker_at(server.url) as later:
            assert await later.reason("ada/t1") == f"{error[0]} {error[1]}", (
                "a worker that starts later refuses, too"
            )


async def test_a_token_that_is_issued_later_counts_again(worker: Worker) -> None:
    await worker.change(tokens_until("ada", time.time() - 50, 600))
    await wait_until(lambda: worker.copy.count == 1)
    assert await worker.reason("ada") == "unauthorized revoked"
    worker.words.age_s = 10
    assert await worker.reason("ada") == ""


async def test_refresh_does_not_take_what_is_revoked(worker: Worker) -> None:
    ada = await worker.connected("ada/t1")
    await worker.change(Change("jti:t2", FOR_EVER))
    await wait_until(lambda: worker.copy.count == 1)
    answer = await ada.call("refresh", {"token": "ada/t2"})
    assert (answer["ok"], answer["code"], answer["reason"]) == (False, "unauthorized", "revoked")
    assert (await ada.call("refresh", {"token": "ada/t3"}))["ok"]
    assert not ada.recorder.ended


async def test_a_ban_that_is_taken_back_or_ends_lets_in_again(worker: Worker) -> None:
    await worker.change(ADA_BANNED, Change("ban:ben", until(time.time() + 0.6)))
    await wait_until(lambda: worker.copy.count == 2)
    assert [await worker.reason(user) for user in ("ada", "ben")] == ["forbidden banned"] * 2
    await worker.change(Change("ban:ada"))
    await wait_until(lambda: worker.copy.count == 1)
    assert await worker.reason("ada") == ""
    version = await worker.store.version()

    async def ben_is_in() -> bool:
        return await worker.reason("ben") == ""

    await wait_until(ben_is_in, 5)
    assert await worker.store.version() == version, "without any write"


async def test_a_guest_is_refused_by_its_address_alone(worker: Worker) -> None:
    guest, elsewhere = await worker.connected(None), await worker.connected(None, "2001:db8::1")
    nowhere = await worker.connected(None, None)
    await worker.change(
        ADA_BANNED, Change("ip:192.0.2.1/32", FOR_EVER), Change("ip:2001:db8:1::/48", FOR_EVER)
    )
    await ended(guest)
    assert told(guest) == [("forbidden", "banned", False)]
    await stays(lambda: not elsewhere.recorder.ended and not nowhere.recorder.ended, 0.1)
    assert await worker.reason(None) == "forbidden banned"
    assert await worker.reason(None, "2001:db8:1::9") == "forbidden banned"


async def test_many_sessions_end_each_once_and_others_are_served_meanwhile(worker: Worker) -> None:
    crowd = [await worker.connected(f"u{at}/t") for at in range(500)]
    before, turns = revoked_sessions.value, 0

    async def watch() -> None:
        nonlocal turns
        while not all(client.recorder.ended for client in crowd):
            turns += 1
            await asyncio.sleep(0)

    await worker.change(
        Change("ip:192.0.2.0/24", FOR_EVER), Change("jti:t", FOR_EVER), Change("ban:u7", FOR_EVER)
    )
    await asyncio.wait_for(watch(), 10)
    await wait_until(lambda: worker.copy.count == 3)
    assert [len(client.events("error")) for client in crowd] == [1] * 500
    assert revoked_sessions.value - before == 500
    assert turns > 5


# -- the word is not heard


async def test_without_the_word_a_heartbeat_ends_them_within_the_promise(server: Valkey) -> None:
    """The subscription to the control channel is gone, and nothing was told of it."""
    async with worker_at(server.url, beats=True) as worker:
        worker.chat.pubsub.unsubscribe(keys.CONTROL)
        await wait_until(lambda: _subscribers(server, 0), 5, "nobody hears the word")
        ada = await worker.connected("ada")
        await worker.change(ADA_BANNED)
        await ended(ada)
        assert told(ada) == [("forbidden", "banned", False)]


async def test_with_the_word_no_heartbeat_is_waited_for(worker: Worker, server: Valkey) -> None:
    await wait_until(lambda: _subscribers(server, 1), 5, "the worker hears the word")
    ada = await worker.connected("ada")
    await worker.change(ADA_BANNED)
    await ended(ada)  # this worker never beats


async def _subscribers(server: Valkey, count: int) -> bool:
    return bool((await server.ask("PUBSUB", "NUMSUB", keys.CONTROL.decode()))[1] == count)


@pytest.mark.parametrize("payload", [b"", b"revoked", b"{}", b"\xff", b"kick ada", b"x" * 100_000])
async def test_other_words_are_for_others(worker: Worker, server: Valkey, payload: bytes) -> None:
    await server.ask("PUBLISH", keys.CONTROL, payload)
    await worker.change(ADA_BANNED)
    await wait_until(lambda: worker.copy.count == 1)
    assert worker.chat.foreign == []


async def test_a_word_that_is_wrong_costs_one_look_at_the_version(worker: Worker, server: Valkey) -> None:
    await worker.change(ADA_BANNED)
    await wait_until(lambda: worker.copy.count == 1)
    await server.ask("CONFIG", "RESETSTAT")
    for _ in range(50):
        await server.ask("PUBLISH", keys.CONTROL, b"revoked 7")
    await asyncio.sleep(0.3)
    calls = await server.ask("INFO", "commandstats")
    assert "cmdstat_hscan" not in calls
    assert calls["cmdstat_get"]["calls"] < 50


# -- Redis is away, or has lost it


async def test_while_redis_is_away_the_copy_decides_and_afterwards_what_it_holds(server: Valkey) -> None:
    async with worker_at(server.url, beats=True) as worker:
        await worker.change(ADA_BANNED)
        await wait_until(lambda: worker.copy.count == 1)
        server.kill()
        await wait_until(lambda: not worker.chat.store.is_up)
        assert await worker.reason("ada") == "forbidden banned"
        assert await worker.reason("ben") == ""
        await server.start()  # it keeps nothing
        with structlog.testing.capture_logs() as logs:
            await wait_until(lambda: any(line["event"] == "revocations_lost" for line in logs), 20)
        assert await worker.reason("ada") == "forbidden banned", "what was lost must not let anybody in"
        await worker.change(Change("ban:ben", FOR_EVER))

        async def is_as_redis_has_it() -> bool:
            return [await worker.reason(user) for user in ("ada", "ben")] == ["", "forbidden banned"]

        await wait_until(is_as_redis_has_it, 20)


async def test_before_it_was_ever_read_no_user_is_let_in_and_guests_are(server: Valkey) -> None:
    async with worker_at(server.url, reads=False) as worker:
        with pytest.raises(Undecided):
            await worker.connected("ada")
        assert await worker.reason(None) == ""
        await worker.chat.revoking.read()
        assert await worker.reason("ada") == ""


async def test_a_hash_of_anothers_hand_is_logged_once_and_ends_nothing(server: Valkey) -> None:
    async with worker_at(server.url) as worker:
        await server.ask("RPUSH", keys.REVOKED.decode(), "x")
        await server.ask("SET", keys.REVOKED_VERSION.decode(), "1")
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                await worker.chat.revoking.read()
            assert [line["event"] for line in logs if line["log_level"] == "error"] == [
                "revocations_unreadable"
            ]
            await server.ask("DEL", keys.REVOKED.decode())
            await worker.change(ADA_BANNED)
            await wait_until(lambda: worker.copy.count == 1)


class Watched(Revocations):
    """Notes in which turn of the event loop each piece was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.taken: list[tuple[int, int]] = []

    def take(self, piece: Sequence[Entry]) -> list[str]:
        self.taken.append((self.turn, len(piece)))
        return super().take(piece)


@pytest.mark.parametrize("count", [400, ENTRIES_MAX])
async def test_entries_are_read_a_few_at_a_time_and_others_are_served_in_between(
    server: Valkey, count: int
) -> None:
    """A small hash comes from Redis whole, a large one in pieces."""
    async with worker_at(server.url) as writer:
        nets = [Change(f"ip:10.{at >> 8}.{at & 255}.0/24", FOR_EVER) for at in range(count)]
        for at in range(0, count, 500):
            await writer.change(*nets[at : at + 500])
        copy = Watched()
        reading = asyncio.create_task(Revoking(writer.store, copy, writer.chat.sessions).read())
        begun_s = time.perf_counter()
        while not reading.done():
            copy.turn += 1
            await asyncio.sleep(0)
        print(f"{count} entries in {time.perf_counter() - begun_s:.3f} s")
        assert copy.count == count
        assert max(size for _, size in copy.taken) <= 2 * PIECE
        assert len({turn for turn, _ in copy.taken}) == len(copy.taken) >= count / (2 * PIECE)
