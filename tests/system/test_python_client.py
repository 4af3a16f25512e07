"""`gateway.client` against a real gateway, while it breaks: what is shown equals the history, always.

Each test has a watcher, who only reads, and a sender. What the sender was told is stored must be in the history exactly
once; what the watcher's events brought, without a reload, must be each message once and in order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.client import ChatError, Message, Pending, Received, Reloaded, Room, connect
from gateway.server.app import build_app
from tests.support.gateways import WITHOUT_LIMITS, Gateway
from tests.support.identified import with_secrets
from tests.support.servers import Valkey
from tests.support.serving import serving, settings
from tests.support.tokens import signed
from tests.support.topologies import sentinels
from tests.support.waiting import until
from tests.system.faults.proxy import Proxy

pytestmark = pytest.mark.system

WAYS: dict[str, list[str] | None] = {"websocket": ["websocket"], "polling": ["polling"], "upgrade": None}
SETTLE_S = 40.0


class Party:
    """A watcher and a sender in one room."""

    def __init__(self, watcher: Room, sender: Room) -> None:
        self.watcher, self.sender = watcher, sender
        self.said: list[Pending] = []
        self.heard: list[Message] = []
        self.reloads: list[Reloaded] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.watcher.events():
            if isinstance(event, Received):
                self.heard.append(event.message)
            elif isinstance(event, Reloaded):
                self.reloads.append(event)

    async def talk(self, count: int, pause_s: float = 0.02) -> None:
        """Says so many numbered messages."""
        for _ in range(count):
            self.said.append(self.sender.send(f"{len(self.said)}"))
            await asyncio.sleep(pause_s)  # the rhythm of the traffic

    async def settle(self) -> list[str]:
        """Waits until all is answered, and judges. Returns the texts of the history."""
        async with asyncio.timeout(SETTLE_S):
            ids = [await each for each in self.said]
        await until(lambda: self.watcher.is_live and self.sender.is_live, SETTLE_S, "both are in")
        history: list[Message] = []

        async def is_level() -> bool:
            history[:] = await self.sender.history()
            return self._last(self.watcher) == self._last(self.sender) == (history[-1].id if history else "")

        await until(is_level, SETTLE_S, "both have the last message")
        for room in (self.watcher, self.sender):
            assert room.messages[-len(history) :] == history
            shown = [each.id for each in room.messages]
            assert len(set(shown)) == len(shown)
        assert not self.sender.pending
        kept = [(each.id, each.text) for each in self.watcher.messages]
        stored = list(zip(ids, (each.text for each in self.said), strict=True))
        assert kept == stored[-len(kept) :], "none lost, none doubled, in the order in which they were said"
        return [each.text for each in history]

    def heard_each_once(self) -> None:
        """The events brought each message once, in order; all of them, unless the watcher was told that some are
        missing, as it was away while more than 100 were said."""
        heard = [int(each.text) for each in self.heard]
        assert heard == sorted(set(heard))
        if not any(each.is_missing_some for each in self.reloads):
            assert heard == list(range(len(self.said)))

    @staticmethod
    def _last(room: Room) -> str:
        return room.messages[-1].id if room.messages else ""

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])


@asynccontextmanager
async def party(url: str, room: str, way: str = "websocket", **more: str) -> AsyncIterator[Party]:
    transports = WAYS[way]
    ada = connect(url, username="Ada", transports=transports)
    bob = connect(more.get("other_url", url), username="Bob", transports=transports)
    watcher, sender = bob.room(room), ada.room(room)
    async with ada, bob:
        made = Party(watcher, sender)
        await asyncio.gather(watcher.joined(), sender.joined())
        try:
            yield made
        finally:
            await made.close()


async def kill_workers(gateway: Gateway, members: Party) -> None:
    """All at once, so that both are away."""
    for pid in gateway.worker_pids():
        os.kill(pid, signal.SIGKILL)
    await members.talk(20)


async def drain(gateway: Gateway, members: Party) -> None:
    os.kill(gateway.master_pid, signal.SIGHUP)
    await members.talk(40)


Fault = Callable[[Gateway, Party], Awaitable[None]]


async def while_broken(redis_url: str, room: str, fault: Fault, way: str, times: int = 1) -> None:
    async with (
        Gateway(redis_url, workers=2, GATEWAY_GRACE_S="1") as gateway,
        party(gateway.url, room, way) as both,
    ):
        for _ in range(times):
            await both.talk(5)
            await fault(gateway, both)
            if times > 1:
                await gateway.until_ready()
        await both.talk(5)
        await both.settle()
        both.heard_each_once()


async def test_what_is_shown_equals_the_history_when_all_workers_are_killed(
    redis_url: str, room: str
) -> None:
    await while_broken(redis_url, room, kill_workers, "websocket")


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", [kill_workers, drain])
async def test_what_is_shown_equals_the_history_while_workers_end_again_and_again(
    redis_url: str, room: str, fault: Fault, way: str
) -> None:
    await while_broken(redis_url, room, fault, way, times=5)


async def offline(redis_url: str, room: str, away_s: float, others_say: int) -> Party:
    """The watcher's network is a black hole for so long, and its connections are cut; the sender's is not."""
    app = build_app(settings(redis_url, **WITHOUT_LIMITS))
    async with serving(app) as url, Proxy(int(url.rpartition(":")[2])) as proxy:
        far = f"http://127.0.0.1:{proxy.port}"
        async with party(url, room, other_url=far) as both:
            await both.talk(5)
            proxy.swallow()
            if away_s < 60:  # a longer one it must find out by itself
                proxy.cut()
            begun = time.monotonic()
            await both.talk(others_say, 0.002)
            await until(lambda: not both.sender.pending, 10, "all is stored")
            await until(lambda: time.monotonic() - begun >= away_s, away_s + 5, "the time is over")
            proxy.forward()
            await both.talk(5)
            await both.settle()
        return both


async def test_who_was_offline_gets_what_was_said_meanwhile(redis_url: str, room: str) -> None:
    (await offline(redis_url, room, 0.5, 15)).heard_each_once()


async def test_who_missed_more_than_is_kept_shows_what_is_kept_and_is_told(redis_url: str, room: str) -> None:
    both = await offline(redis_url, room, 0.5, 125)
    assert [each.is_missing_some for each in both.reloads] == [False, True]
    assert len(both.watcher.messages) >= 100


@pytest.mark.long
@pytest.mark.parametrize("away_s", [30.0, 75.0])
async def test_who_was_offline_for_long_gets_what_was_said_meanwhile(
    redis_url: str, room: str, away_s: float
) -> None:
    (await offline(redis_url, room, away_s, 60)).heard_each_once()


async def test_what_is_typed_while_offline_is_sent_once_in_its_order(redis_url: str, room: str) -> None:
    async with serving(build_app(settings(redis_url))) as url, Proxy(int(url.rpartition(":")[2])) as proxy:
        far = f"http://127.0.0.1:{proxy.port}"
        async with connect(far, username="Ada", transports=["websocket"]) as ada:
            sender = ada.room(room)
            await sender.joined()
            said = [sender.send("before")]
            await said[0]
            proxy.swallow()
            said.append(sender.send("on its way"))  # it leaves, and nobody knows whether it arrives
            await asyncio.sleep(0.1)
            proxy.cut()
            said += [sender.send(f"typed {number}") for number in range(20)]
            await until(lambda: not ada.is_connected, 10, "it knows that it is away")
            proxy.forward()
            ids = [await each for each in said]
            history = await sender.history()
            assert [(each.id, each.text) for each in history] == list(
                zip(ids, (each.text for each in said), strict=True)
            )
            await until(lambda: len(sender.messages) == len(history), 5, "they came back")
            assert sender.messages == history


# -- tokens


def short_tokens(asked: list[float], life_s: int) -> Callable[[], Awaitable[str]]:
    async def token() -> str:
        asked.append(time.monotonic())
        now_s = int(time.time())
        return signed(kid="one", iat=now_s, exp=now_s + life_s)

    return token


async def test_a_token_is_refreshed_before_it_ends(redis_url: str, room: str, tmp_path: Path) -> None:
    given = with_secrets(tmp_path, GATEWAY_TOKEN_GRACE_S="0", GATEWAY_TOKEN_LEEWAY_S="0")
    asked: list[float] = []
    async with serving(build_app(settings(redis_url, **given))) as url:
        async with connect(url, token=short_tokens(asked, 3)) as ada:
            events = ada.events()
            lobby = ada.room(room)
            await lobby.joined()
            assert (ada.user, ada.username) == ("ada", "Ada")
            await until(lambda: len(asked) >= 3, 15, "it was asked for again and again")
            await lobby.send("still here")
            await until(lambda: lobby.messages, 5, "it came back")
            assert lobby.messages == await lobby.history()
        names = [type(each).__name__ async for each in events]
        assert names.count("Disconnected") == 1, "only at the end"


async def test_who_has_no_new_token_in_time_is_back_once_there_is_one(
    redis_url: str, room: str, tmp_path: Path
) -> None:
    """Its connection is closed at the end of its token; what is typed meanwhile is sent when it is back."""
    given = with_secrets(tmp_path, GATEWAY_TOKEN_GRACE_S="0", GATEWAY_TOKEN_LEEWAY_S="0")
    is_away, tokens = [False], short_tokens([], 2)

    async def token() -> str:
        if is_away[0]:
            raise OSError("the application is away")
        return await tokens()

    async with serving(build_app(settings(redis_url, **given))) as url, connect(url, token=token) as ada:
        lobby = ada.room(room)
        await lobby.send("before")
        is_away[0] = True
        await until(lambda: not ada.is_connected, 10, "the token has ended")
        said = lobby.send("while away")
        is_away[0] = False
        await said
        assert [each.text for each in await lobby.history()] == ["before", "while away"]
        await until(lambda: len(lobby.messages) == 2, 5, "it came back")
        assert lobby.messages == await lobby.history()


async def test_a_token_that_is_refused_twice_ends_the_client(
    redis_url: str, room: str, tmp_path: Path
) -> None:
    async def token() -> str:
        return signed(b"the secret of somebody else, long enough", kid="one")

    async with serving(build_app(settings(redis_url, **with_secrets(tmp_path)))) as url:
        with pytest.raises(ChatError) as refused:
            async with connect(url, token=token) as ada:
                ada.room(room)
        assert (refused.value.code, refused.value.about["reason"]) == ("unauthorized", "invalid")


async def test_a_guest_who_is_refused_does_not_come_back(redis_url: str, tmp_path: Path) -> None:
    async with serving(build_app(settings(redis_url, **with_secrets(tmp_path)))) as url:
        with pytest.raises(ChatError) as refused:
            await connect(url, username="Ada").start()
        assert refused.value.about["reason"] == "missing"


# -- limits, moderation, and what is said beside messages


async def test_who_says_more_than_is_allowed_waits_and_loses_nothing(redis_url: str) -> None:
    """40 messages at once where 15 a second are allowed, in two rooms: nothing is lost, and nobody is sent away."""
    rooms = [f"fast-{os.getpid()}-{number}" for number in range(2)]
    async with serving(build_app(settings(redis_url))) as url:
        async with connect(url, username="Ada", transports=["websocket"]) as ada:
            joined = [ada.room(name) for name in rooms]
            said = [each.send(str(number)) for number in range(20) for each in joined]
            await asyncio.gather(*(each._result() for each in said))
            await until(lambda: all(len(each.messages) == 20 for each in joined), 5, "they came back")
            for each in joined:
                assert [one.text for one in each.messages] == [str(number) for number in range(20)]
            assert ada.is_connected


async def test_changes_that_were_missed_are_shown(redis_url: str, room: str, tmp_path: Path) -> None:
    given = with_secrets(tmp_path)

    async def token() -> str:
        return signed(kid="one", rooms={room: ["join", "send", "moderate"]})

    async with (
        serving(build_app(settings(redis_url, **given))) as url,
        Proxy(int(url.rpartition(":")[2])) as proxy,
    ):
        far = connect(f"http://127.0.0.1:{proxy.port}", token=token, transports=["websocket"])
        async with connect(url, token=token) as ada, far as other:
            sender, watcher = ada.room(room), other.room(room)
            first, second = await sender.send("rude"), await sender.send("polite")
            await until(lambda: len(watcher.messages) == 2, 5, "both came")
            assert ada.line is not None
            await ada.line.ask("redact", {"room": room, "id": first})
            await until(lambda: watcher.messages[0].changed == "redacted", 5, "told at once")
            proxy.swallow()
            proxy.cut()
            await ada.line.ask("edit", {"room": room, "id": second, "message": "more polite"})
            proxy.forward()
            await until(lambda: watcher.messages[1].text == "more polite", 10, "told at the return")
            assert watcher.messages == await sender.history()


async def test_marks_typing_members_and_leaving(redis_url: str, room: str, tmp_path: Path) -> None:
    def token_of(user: str) -> Callable[[], Awaitable[str]]:
        async def token() -> str:
            return signed(kid="one", sub=user, name=user.title())

        return token

    async with serving(build_app(settings(redis_url, **with_secrets(tmp_path)))) as url:
        async with connect(url, token=token_of("ada")) as ada, connect(url, token=token_of("bob")) as bob:
            sender, reader = ada.room(room), bob.room(room)
            await asyncio.gather(sender.joined(), reader.joined())
            ids = [await sender.send(str(number)) for number in range(3)]
            await until(lambda: reader.unread == 3, 5, "who never marked has all before him")
            reader.mark_read(ids[1])
            assert reader.unread == 1
            await sender.type()
            await until(lambda: reader.typing == ["Ada"], 5, "Ada types")
            await sender.send("3")
            await until(lambda: len(reader.messages) == 4 and reader.typing == [], 5, "it was said")
            found = await reader.members()
            assert (sorted(found.names), found.count) == (["Ada", "Bob"], 2)
            await until(lambda: reader.mark.is_told, 5, "the mark is told")
            await reader.leave()
            assert bob.rooms == []
            assert (await sender.members()).names == ["Ada"]
            async with connect(url, token=token_of("bob")) as phone:
                same = phone.room(room)
                await until(lambda: same.unread == 2, 5, "the mark is on all devices")


async def test_a_room_that_may_not_be_joined_says_so(redis_url: str, room: str) -> None:
    async with serving(build_app(settings(redis_url))) as url, connect(url, username="ChatBot") as somebody:
        refused = somebody.room(room)
        with pytest.raises(ChatError) as found:
            await refused.joined()
        assert found.value.code == "name_taken_by_system"
        with pytest.raises(ChatError):
            refused.send("hello")


@pytest.mark.long
@pytest.mark.faults
async def test_what_is_shown_equals_the_history_over_a_failover(room: str) -> None:
    async with sentinels() as found, Gateway(found.url, workers=2, GATEWAY_GRACE_S="1") as gateway:
        async with party(gateway.url, room) as both:
            await both.talk(20)
            old = await found.primary()
            old.kill()
            await both.talk(100, 0.05)
            await found.until_switched(old)
            await both.talk(20)
            await both.settle()


@pytest.mark.long
@pytest.mark.faults
async def test_what_is_shown_equals_the_history_after_all_was_lost(room: str) -> None:
    """Numbers begin anew: what was shown before is replaced, and the reader is told."""
    server = Valkey("--appendonly", "no", "--save", "")
    try:
        await server.start()
        async with Gateway(server.url, workers=2, GATEWAY_GRACE_S="1") as gateway:
            async with party(gateway.url, room) as both:
                await both.talk(20)
                await until(lambda: not both.sender.pending, 10, "all are stored")
                server.kill()
                await server.start()
                both.said.clear()
                await both.talk(20)
                await both.settle()
                assert both.reloads[-1].is_missing_some
    finally:
        server.close()
