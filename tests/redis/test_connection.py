"""One connection on a real server: every command is answered exactly once, in order, in time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import StoreError, StoreUnavailable
from gateway.interfaces import Reply
from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.connection import IN_FLIGHT_MAX, pack
from gateway.redis.server_watch import ServerWatch
from gateway.state.history import NOTHING
from gateway.state.scripts import SNAPSHOT
from tests.support.command_connections import TIMEOUT_S, UNRESPONSIVE_S, Life, opened
from tests.support.redis_limits import LIMITS
from tests.support.servers import Valkey
from tests.support.waiting import HeldUp, Stopwatch, in_time, tried_again, until

PING = pack(b"PING")


class Ledger:
    """Which commands were answered, with what, and when."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Reply, float]] = []

    def expects(self, number: int) -> Callable[[Reply], None]:
        return lambda reply: self.answers.append((number, reply, time.monotonic()))

    def numbers(self) -> list[int]:
        return [number for number, _, _ in self.answers]

    def replies(self) -> list[Reply]:
        return [reply for _, reply, _ in self.answers]


class CountingTransport:
    """A real transport that counts its writes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_replies_come_in_the_order_of_the_commands(redis_url: str) -> None:
    async with opened(redis_url, timeout_s=10) as connection:
        ledger = Ledger()
        for number in range(5000):
            connection.submit(pack("ECHO", number), ledger.expects(number))
        await until(lambda: len(ledger.answers) == 5000, 5, "all are answered")
        assert ledger.numbers() == list(range(5000))
        assert [number for number, reply, _ in ledger.answers if reply != b"%d" % number] == []


async def test_what_one_turn_submits_leaves_in_one_write(redis_url: str) -> None:
    async with opened(redis_url) as connection:
        counting = connection.transport = CountingTransport(connection.transport)  # type: ignore[arg-type, assignment]
        waits = [connection.call("ECHO", number) for number in range(100)]
        assert await asyncio.gather(*waits) == [b"%d" % number for number in range(100)]
        assert len(counting.writes) == 1


async def test_no_callback_runs_inside_submit(redis_url: str) -> None:
    async with opened(redis_url) as connection:
        ledger = Ledger()
        connection.submit(pack("PING"), ledger.expects(1))
        assert ledger.answers == []
        await until(lambda: ledger.answers, 2, "it is answered")


async def test_nobody_waiting_does_not_disturb_the_others(redis_url: str) -> None:
    async with opened(redis_url) as connection:
        on_room_closed = connection.call("ECHO", "a")
        on_room_closed.cancel()
        assert await connection.call("ECHO", "b") == b"b"


async def test_a_reply_larger_than_any_buffer_comes_whole(redis_url: str, room: str) -> None:
    async with opened(redis_url) as connection:
        large = b"x" * 5_000_000
        waits = [connection.call("ECHO", large), connection.call("ECHO", "after")]
        assert await asyncio.gather(*waits) == [large, b"after"]


# -- scripts that Redis has forgotten


async def test_a_forgotten_script_ends_the_connection_and_what_was_under_way_is_unavailable(
    server: Valkey,
) -> None:
    async with opened(server.url) as connection:
        ledger = Ledger()
        snapshot = SNAPSHOT.command((b"list", b"meta"), *NOTHING.arguments(), "epoch", 100)
        await server.ask("SCRIPT", "FLUSH")
        connection.submit(pack("ECHO", "before"), ledger.expects(0))
        connection.submit(snapshot, ledger.expects(1))
        connection.submit(snapshot, ledger.expects(2))
        connection.submit(pack("PING"), ledger.expects(3))
        await until(lambda: len(ledger.answers) == 4, what="all are answered")
        assert (ledger.numbers(), ledger.replies()[0]) == ([0, 1, 2, 3], b"before")
        assert type(ledger.replies()[1]) is StoreUnavailable
        await until(lambda: not connection.is_open, what="the connection ends")


async def test_scripts_that_are_flushed_all_the_time_lose_no_answer(server: Valkey) -> None:
    store = PrimaryCommands(FixedFinder(endpoint_of(server.url)), ServerWatch(), "test-flush", LIMITS)
    await store.start(5)
    ledger = Ledger()
    for block in range(10):
        flushing = asyncio.create_task(server.ask("SCRIPT", "FLUSH"))
        for number in range(block * 50, block * 50 + 50):
            store.submit(
                b"list",
                SNAPSHOT.command((b"list", b"meta"), *NOTHING.arguments(), "epoch", 100),
                ledger.expects(number),
            )
            if number % 7 == 0:
                await asyncio.sleep(0)
        await flushing
        await until(lambda: store.is_up, what="it is connected")
    await until(lambda: len(ledger.answers) == 500, what="all are answered")
    assert sorted(ledger.numbers()) == list(range(500))
    errors = [reply for reply in ledger.replies() if isinstance(reply, StoreError)]
    assert {type(error) for error in errors} <= {StoreUnavailable}
    served: list[Reply] = []

    async def is_served() -> bool:
        """The last flush may have come behind the last command: one more finds that out, and the next is served."""
        try:
            served.append(
                await store.run(SNAPSHOT, (b"list", b"meta"), *NOTHING.arguments(), "epoch", 100, "", 0)
            )
        except StoreUnavailable:
            return False
        return True

    await until(is_served, what="the scripts are there again")
    assert served == [[b"epoch", b"0", [], 0, 0, 0, [], b""]]
    await store.close()


# -- silence and loss


@pytest.mark.system
async def test_a_server_that_hangs_is_answered_for_in_time_and_once(server: Valkey) -> None:
    async with opened(server.url) as connection:
        assert await connection.call("PING") == b"PONG"
        server.freeze()
        ledger, began_s = Ledger(), time.monotonic()
        try:
            async with Stopwatch() as watch:
                for number in range(50):
                    connection.submit(pack("ECHO", number), ledger.expects(number))
                await until(lambda: len(ledger.answers) == 50, TIMEOUT_S + 1, "all are answered")
            took = [at - began_s for _, _, at in ledger.answers]
        finally:
            server.thaw()
        assert {type(reply) for reply in ledger.replies()} == {StoreUnavailable}
        assert TIMEOUT_S * 0.8 <= min(took) <= max(took) <= TIMEOUT_S + watch.held_up_s
        assert await connection.call("ECHO", "after") == b"after", "late replies are not taken for others"
        assert ledger.numbers() == list(range(50))


@pytest.mark.system
@tried_again(HeldUp)
async def test_commands_sent_while_it_hangs_get_their_own_time(server: Valkey) -> None:
    async with opened(server.url) as connection:
        server.freeze()
        try:
            began_s = time.monotonic()
            first = connection.call("ECHO", 1)
            await asyncio.wait([first], timeout=TIMEOUT_S / 2)
            second = connection.call("ECHO", 2)
            await asyncio.wait([first], timeout=TIMEOUT_S)
            in_time(began_s, TIMEOUT_S * 1.2)  # the second is answered from 1.35 times the limit on
            assert isinstance(first.exception(), StoreUnavailable)
            assert not second.done()
        finally:
            server.thaw()
        assert await second == b"2"


@pytest.mark.system
async def test_a_connection_that_is_silent_too_long_is_dropped(server: Valkey) -> None:
    life = Life()
    async with opened(server.url, life) as connection:
        server.freeze()
        try:
            late = connection.call("PING")
            await until(lambda: life.lost == 1, UNRESPONSIVE_S + 1, "the connection is dropped")
        finally:
            server.thaw()
        assert isinstance(late.exception(), StoreUnavailable)
        assert not connection.is_open


async def test_the_loss_of_the_connection_answers_everything_once(server: Valkey) -> None:
    life = Life()
    async with opened(server.url, life) as connection:
        ledger = Ledger()
        server.freeze()
        for number in range(1000):
            connection.submit(pack("ECHO", number), ledger.expects(number))
        await asyncio.sleep(0)
        server.kill()
        await until(lambda: life.lost == 1, 2, "the loss is noticed")
        assert ledger.numbers() == list(range(1000))
        assert {type(reply) for reply in ledger.replies()} == {StoreUnavailable}
        connection.submit(pack("PING"), ledger.expects(1000))
        assert ledger.numbers()[-1] == 1000, "answered at once"
        assert life.lost == 1


async def test_more_commands_than_a_connection_holds_are_refused_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(redis_url) as connection:
        monkeypatch.setattr("gateway.redis.connection.IN_FLIGHT_MAX", 20)
        ledger = Ledger()
        for number in range(22):
            connection.submit(pack("ECHO", number), ledger.expects(number))
        assert ledger.numbers() == [20, 21]
        await until(lambda: len(ledger.answers) == 22, 2, "the others are answered")


async def test_a_look_at_very_many_commands_in_flight_takes_as_long_for_each_as_at_few(
    server: Valkey,
) -> None:
    """Indexing in the middle of a deque made it quadratic: counted here by looks at a command's time."""
    async with opened(server.url, timeout_s=60.0) as connection:
        server.freeze()
        try:
            answered: list[Reply] = []
            for _ in range(IN_FLIGHT_MAX - 1):
                connection.submit(PING, answered.append)
            looks = CountingDeque(connection._in_flight)
            connection._in_flight = looks
            connection._options = replace(connection._options, timeout_s=0.0, unresponsive_s=60.0)
            connection._expire()
            assert len(answered) == IN_FLIGHT_MAX - 1
            assert {type(reply) for reply in answered} == {StoreUnavailable}
            assert looks.inner == 0, "only its ends are looked at"
            assert looks.outer <= 2 * IN_FLIGHT_MAX
        finally:
            server.thaw()


class CountingDeque(deque[Any]):
    """Counts which of its items are looked at by number: the outermost ones are at hand, the others are walked to."""

    outer = inner = 0

    def __getitem__(self, place: Any) -> Any:
        if place in (0, -1, len(self) - 1):
            self.outer += 1
        else:
            self.inner += 1
        return super().__getitem__(place)
