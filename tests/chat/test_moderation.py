"""What moderators do, as members, those who are meant, and other workers see it; on a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis
import structlog

from gateway import keys
from gateway.access.connection_limits import ConnectionLimits
from gateway.access.identity import Identity
from gateway.access.room_rules import RoomRule, RoomRules
from gateway.chat.identities import Identities
from gateway.client_events import EVENTS_WITH_TOKENS
from gateway.limit_options import LimitOptions
from gateway.moderation_events import Target
from gateway.state.moderation import ENTRIES_MAX
from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.waiting import stays, until

ADA, BEN = Identity(user="ada", name="Ada"), Identity(user="ben", name="Ben")
MOD = Identity(user="mod", name="Mod", grants={"**": frozenset(["moderate"])})


class Tokens:
    """Tokens count here; a test says itself who somebody is."""

    counts_tokens = True

    async def identify(self, token: str | None) -> Identity:
        raise AssertionError("nobody shows a token")


def identities() -> Identities:
    return Identities(Tokens(), lambda auth, environ: None, 0.0)


def rules(**rule: Any) -> RoomRules:
    return RoomRules([RoomRule(match="**", **{"join": "anyone", **rule})])


@pytest.fixture
async def worker(redis_url: str) -> AsyncIterator[ChatWorker]:
    async with chat_worker(redis_url, timeout_s=10.0, identities=identities(), rules=rules()) as worker:
        yield worker


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[ChatWorker]:
    """A second worker on the same Redis; its rule lets people edit for a minute."""
    async with chat_worker(
        redis_url, timeout_s=10.0, identities=identities(), rules=rules(edit_s=60)
    ) as other:
        yield other


async def joined(worker: ChatWorker, room: str, identity: Identity | None, name: str = "guest") -> Client:
    client = worker.connect() if identity is None else worker.connect(identity=identity)
    answer = await client.join(room, name if identity is None or identity.name is None else identity.name)
    assert answer["ok"], answer
    return client


async def stored(worker: ChatWorker, room: str) -> list[bytes]:
    found: list[bytes] = await worker.store.call(keys.history(room), "LRANGE", keys.history(room), 0, -1)
    return found


# -- messages


async def test_a_redacted_message_keeps_its_place_its_name_and_its_time_and_loses_its_text(
    worker: ChatWorker, other: ChatWorker, room: str
) -> None:
    ann, mod = await joined(worker, room, None, "ann"), await joined(other, room, MOD)
    ids = [(await ann.send(room, text))["id"] for text in ("one", 'two "quoted" \\', "three")]
    before = await stored(worker, room)
    answer = await mod.call("redact", {"room": room, "id": ids[1]})
    assert answer["ok"]
    await until(
        lambda: ann.events("changed") and mod.events("changed"), what="members of both workers hear of it"
    )
    assert (
        ann.events("changed")
        == mod.events("changed")
        == [{"room": room, "id": ids[1], "kind": "redacted", "message": "", "by": "mod", "at": answer["at"]}]
    )
    after = await stored(worker, room)
    assert (after[0], after[2]) == (before[0], before[2]), "byte for byte"
    was = json.loads(before[1])
    assert after[1] == json.dumps({**was, "message": ""}, separators=(",", ":")).encode()
    late = await joined(worker, room, None, "late")
    assert late.messages() == ["one", "", "three"]


async def test_an_edit_gives_another_text_and_a_redaction_is_the_last_word(
    worker: ChatWorker, room: str
) -> None:
    mod = await joined(worker, room, MOD)
    position = (await mod.send(room, "first"))["id"]
    for text in ("zweiter / «Text» 茶", "third"):
        assert (await mod.call("edit", {"room": room, "id": position, "message": text}))["ok"]
    assert json.loads((await stored(worker, room))[0])["message"] == "third"
    assert (await mod.call("redact", {"room": room, "id": position}))["ok"]
    refused = await mod.call("edit", {"room": room, "id": position, "message": "again"})
    assert (refused["code"], refused["retryable"]) == ("not_found", False)
    changed = mod.events("changed")
    assert [one["message"] for one in changed] == ["zweiter / «Text» 茶", "third", ""]
    assert changed[0]["at"] < changed[1]["at"] < changed[2]["at"], "the later of two has the higher time"


async def test_to_redact_again_changes_nothing_and_tells_the_room_again(
    worker: ChatWorker, room: str
) -> None:
    mod = await joined(worker, room, MOD)
    position = (await mod.send(room, "x"))["id"]
    first = await mod.call("redact", {"room": room, "id": position})
    before = await stored(worker, room)
    assert await mod.call("redact", {"room": room, "id": position}) == first
    assert await worker.moderation.redact("backend", room, _position(position)) == first["at"]
    assert await stored(worker, room) == before
    await until(lambda: len(mod.events("changed")) == 3, what="it is told each time")
    assert len({json.dumps(one) for one in mod.events("changed")}) == 1, "the same, with who did it first"


@pytest.mark.parametrize("which", ["trimmed", "another epoch", "never there", "zero"])
async def test_what_is_not_there_is_not_found(worker: ChatWorker, room: str, which: str) -> None:
    mod = await joined(worker, room, MOD)
    first = (await mod.send(room, "x"))["id"]
    epoch = first.partition(":")[0]
    if which == "trimmed":
        await worker.store.call(keys.history(room), "LTRIM", keys.history(room), 1, -1)
        await mod.send(room, "y")
    wanted = {"trimmed": first, "another epoch": "other:1", "never there": f"{epoch}:7", "zero": f"{epoch}:0"}
    for event in ("redact", "edit"):
        refused = await mod.call(event, {"room": room, "id": wanted[which], "message": "z"})
        assert (refused["code"], mod.events("changed")) == ("not_found", [])


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (b'{"message": "old \\" one", "username": "b\\u00e9", "__createdtime__": 5}',
         b'{"message":"","username": "b\\u00e9", "__createdtime__": 5}'),
        (b'{"username":"ben","message":"m","__createdtime__":5}',
         b'{"message":"","username":"ben","__createdtime__":5}'),
        (b"no JSON", b'{"message":"","username":"","__createdtime__":0}'),
        (b"7", b'{"message":"","username":"","__createdtime__":0}'),
    ],
)  # fmt: skip
async def test_entries_of_other_hands_can_be_redacted_too(
    worker: ChatWorker, room: str, written: bytes, left: bytes
) -> None:
    await worker.store.call(keys.history(room), "RPUSH", keys.history(room), written)
    mod = await joined(worker, room, MOD)
    (received,) = mod.events("receive")
    assert (await mod.call("redact", {"room": room, "id": received["id"]}))["ok"]
    assert await stored(worker, room) == [left]
    assert (await joined(worker, room, None)).messages() == [""]


async def test_a_redaction_takes_meta_away_and_leaves_who_sent_it(
    worker: ChatWorker, room: str, redis_url: str
) -> None:
    mod = await joined(worker, room, MOD)
    done: list[Any] = []
    more = b'"user":"u/1","meta":{"changed":{"x":1},"file":"secret.pdf"}'
    for text in ("a", "b"):
        worker.publisher.publish(
            worker.hub.room(room), b'{"message":"%b","username":"U","__createdtime__":' % text.encode(), None,
            done.append, None, more,
        )  # fmt: skip
    await until(lambda: len(done) == 2, what="both are stored")
    await worker.moderation.redact("backend", room, _position(done[0]))
    for text in ("b2", "b3"):
        await worker.moderation.edit("backend", room, _position(done[1]), text)
    await until(lambda: len(mod.events("changed")) == 3, what="all are told")
    ats = [one["at"] for one in mod.events("changed")]
    async with redis.Redis.from_url(redis_url) as client:
        found = await client.hgetall(keys.more(room))
    assert [json.loads(found[seq]) for seq in (b"1", b"2")] == [
        {"user": "u/1", "changed": {"kind": "redacted", "by": "backend", "at": ats[0]}},
        {"user": "u/1", "meta": {"changed": {"x": 1}, "file": "secret.pdf"},
         "changed": {"kind": "edited", "by": "backend", "at": ats[2]}},
    ]  # fmt: skip


async def test_who_was_away_learns_of_the_change_and_no_gap_is_told(worker: ChatWorker, room: str) -> None:
    ann, mod = await joined(worker, room, None, "ann"), await joined(worker, room, MOD)
    ids = [(await ann.send(room, text))["id"] for text in ("one", "two")]
    ann.close()
    await mod.call("redact", {"room": room, "id": ids[0]})
    back = worker.connect()
    assert (await back.join(room, "ann", since=ids[1]))["recovered"]
    assert [(one["id"], one["message"]) for one in back.events("changed")] == [(ids[0], "")]
    worker.hub.on_restored()  # every room is read again
    await mod.send(room, "three")
    await until(lambda: "three" in back.messages(), what="it goes on")
    assert back.events("error") == mod.events("error") == []


async def test_who_has_sent_a_message_may_edit_it_for_as_long_as_the_rule_says(
    worker: ChatWorker, other: ChatWorker, room: str
) -> None:
    ada, ben = await joined(other, room, ADA), await joined(other, room, BEN)
    mine = await _sent_as(other, room, "ada", "mine")
    edit = {"room": room, "id": mine, "message": "better"}
    assert (await ada.call("edit", edit))["ok"]
    assert (await ben.call("edit", edit))["operation"] == "edit", "it is another's"
    no_rule = await joined(worker, room, ADA)
    assert (await no_rule.call("edit", edit))["operation"] == "edit", "off by default"
    guest = await joined(other, room, None, "Ada2")
    assert (await guest.call("edit", edit))["code"] == "forbidden"
    assert (await other.connect(identity=ADA).call("edit", edit))["code"] == "not_joined"
    async with chat_worker(
        other.store_url, timeout_s=10.0, identities=identities(), rules=rules(edit_s=0.001)
    ) as hasty:
        late = await joined(hasty, room, ADA)
        await asyncio.sleep(0.01)
        assert "too old" in (await late.call("edit", edit) and late.events("error")[0]["message"])
    await other.moderation.mute("backend", room, Target("ada", ""), 60)
    muted = await ada.call("edit", edit)
    assert (muted["code"], muted["reason"], muted["operation"]) == ("forbidden", "muted", "edit")


async def test_where_the_application_is_asked_before_a_message_only_moderators_edit(
    redis_url: str, room: str
) -> None:
    asking = rules(edit_s=60, moderation="check")
    async with chat_worker(redis_url, timeout_s=10.0, identities=identities(), rules=asking) as worker:
        ada = await joined(worker, room, ADA)
        mine = await _sent_as(worker, room, "ada", "mine")
        assert (await ada.call("edit", {"room": room, "id": mine, "message": "x"}))["operation"] == "edit"


# -- people


async def test_a_muted_user_may_not_send_until_it_ends_or_is_taken_back(
    worker: ChatWorker, room: str
) -> None:
    ann, mod = await joined(worker, room, None, "ann"), await joined(worker, room, MOD)
    muted = await mod.call("mute", {"room": room, "username": "ann", "for_s": 60})
    assert (muted["ok"], muted["sessions"]) == (True, 1)
    refused = await ann.send(room, "x", idempotency_key="k")
    assert (refused["code"], refused["reason"], refused["until"]) == ("forbidden", "muted", muted["until"])
    assert refused["retryable"] is False
    assert (await mod.send(room, "others may"))["ok"]
    await mod.call("unmute", {"room": room, "username": "ann"})
    assert (await ann.send(room, "x", idempotency_key="k"))["ok"]
    assert (await mod.call("mute", {"room": room, "username": "ann", "for_s": 1}))["ok"]
    assert (await ann.send(room, "y"))["code"] == "forbidden"
    assert (await ann.send(room, "x", idempotency_key="k"))["ok"], "it was stored before"

    async def may_send() -> bool:
        return bool((await ann.send(room, "y"))["ok"])

    await until(may_send, 5, "it ends by itself")


async def test_a_mute_of_a_user_is_none_of_a_guest_of_that_name(worker: ChatWorker, room: str) -> None:
    guest = await joined(worker, room, None, "ada")
    await worker.moderation.mute("backend", room, Target("ada", ""))
    assert (await guest.send(room, "x"))["ok"]
    done: list[Any] = []
    head = b'{"message":"x","username":"Ada","__createdtime__":'
    worker.publisher.publish(worker.hub.room(room), head, None, done.append, None, b'"user":"ada"')
    await until(lambda: bool(done), what="the answer")
    assert done[0].reason == "muted"


async def test_a_kicked_user_is_out_on_every_worker_is_told_and_comes_back_only_afterwards(
    worker: ChatWorker, other: ChatWorker, room: str
) -> None:
    tabs = [await joined(where, room, ADA) for where in (worker, other, other)]
    mod = await joined(worker, room, MOD)
    kicked = await mod.call("kick", {"room": room, "user": "ada", "for_s": 60, "reason": "spam  links"})
    assert (kicked["ok"], kicked["sessions"]) == (True, 3)
    await until(lambda: all(tab.events("removed") for tab in tabs), what="all are told")
    assert [tab.events("removed") for tab in tabs] == [
        [{"room": room, "code": "kicked", "reason": "spam  links"}]
    ] * 3
    await mod.send(room, "after")
    refused = await tabs[1].join(room, "Ada")
    assert (refused["code"], refused["reason"], refused["operation"]) == ("forbidden", "kicked", "join")
    assert (await tabs[0].send(room, "x"))["code"] == "not_joined"
    assert [tab.messages() for tab in tabs] == [[], [], []], "nothing of the room follows"
    await until(lambda: _is(worker.users(room), ["Mod"]), what="nobody counts it as present")


async def test_without_a_time_a_kicked_user_may_come_back_at_once_and_stays(
    worker: ChatWorker, other: ChatWorker, room: str
) -> None:
    ada = await joined(worker, room, ADA)
    await worker.moderation.kick("backend", room, Target("ada", ""))
    await until(lambda: ada.events("removed"), what="it is told")
    assert (await ada.join(room, "Ada"))["ok"]
    later = await joined(other, room, ADA)
    worker.moderated.want(room)
    await stays(lambda: len(ada.events("removed")) == 1 and not later.events("removed"), 0.7, "they stay")


async def test_a_worker_that_does_not_hear_the_word_finds_out_by_itself(
    worker: ChatWorker, other: ChatWorker, room: str
) -> None:
    deaf = await joined(other, room, ADA)
    other.pubsub.unsubscribe(keys.CONTROL)

    async def nobody_else() -> bool:
        return bool((await worker.store.call(b"", "PUBSUB", "NUMSUB", keys.CONTROL))[1] < 2)

    await worker.moderation.kick("backend", room, Target("ada", ""), 60)
    await until(lambda: deaf.events("removed"), 5, "it looks every 0.3 s here")


async def test_a_word_that_cannot_be_said_is_no_failure(
    worker: ChatWorker, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.errors import StoreDenied

    async def denied(do: str, **about: Any) -> None:
        raise StoreDenied("NOPERM")

    ada = await joined(worker, room, ADA)
    monkeypatch.setattr(worker.control, "say", denied)
    await worker.moderation.kick("backend", room, Target("ada", ""))
    await until(lambda: ada.events("removed"), 5, "the next look finds it")


async def test_who_was_kicked_cannot_speak_as_one_on_the_way_back(worker: ChatWorker, room: str) -> None:
    ann = await joined(worker, room, None, "ann")
    ann.close()
    await worker.moderation.kick("backend", room, Target("", "ann"), 60)
    answer = await worker.connect().send(room, "x", username="ann")
    assert (answer["code"], answer["reason"]) == ("forbidden", "kicked")


async def test_who_is_muted_may_not_signal_either(worker: ChatWorker, other: ChatWorker, room: str) -> None:
    ada, ben = await joined(worker, room, ADA), await joined(other, room, BEN)
    signal = {"room": room, "kind": "typing"}
    assert (await ada.call("signal", signal))["ok"]
    await worker.moderation.mute("backend", room, Target("ada", ""), 60)
    await until(lambda: room in worker.moderated, what="the worker has heard")
    refused = await ada.call("signal", signal)
    assert (refused["code"], refused["reason"], refused["operation"]) == ("forbidden", "muted", "signal")
    assert (await ben.call("signal", signal))["ok"]
    late = await joined(other, room, ADA)
    await until(lambda: room in other.moderated, what="its worker has read what holds")
    assert (await late.call("signal", signal))["reason"] == "muted"
    assert (await ada.send(room, "x"))["reason"] == "muted", "a message says whose it is"


# -- rooms


async def test_a_closed_room_is_empty_and_nobody_comes_in_until_it_is_opened_again(
    worker: ChatWorker, other: ChatWorker, room: str
) -> None:
    people = [await joined(where, room, None, f"p{at}") for at, where in enumerate((worker, other, other))]
    mod = await joined(worker, room, MOD)
    closed = await mod.call("close", {"room": room, "reason": "The lesson is over."})
    assert (closed["ok"], closed["sessions"]) == (True, 4)
    told = {"room": room, "code": "closed", "reason": "The lesson is over."}
    await until(lambda: all(one.events("removed") == [told] for one in [*people, mod]), what="all are told")
    refused = await people[0].join(room, "p0")
    assert (refused["code"], refused["reason"], refused["until"]) == ("forbidden", "closed", closed["until"])
    assert (await worker.connect().send(room, "x", username="p1"))["code"] in ("forbidden", "not_joined")
    done: list[Any] = []
    worker.publisher.publish(
        worker.hub.room(room), b'{"message":"x","username":"B","__createdtime__":', None, done.append
    )
    await until(lambda: bool(done), what="the answer")
    assert (done[0].reason, await stored(worker, room)) == ("closed", [])
    assert (await mod.call("reopen", {"room": room}))["ok"], "without being in"
    assert (await people[0].join(room, "p0"))["ok"]
    assert (await people[0].send(room, "hello"))["ok"]
    assert await worker.store.call(keys.moderated(room), "TTL", keys.moderated(room)) <= 600, "for latecomers"


async def test_who_was_in_goes_though_the_room_is_opened_again_at_once(
    worker: ChatWorker, other: ChatWorker, room: str
) -> None:
    people = [await joined(where, room, None, f"p{at}") for at, where in enumerate((worker, other))]
    await worker.moderation.close("backend", room)
    await worker.moderation.reopen("backend", room)
    await until(lambda: all(one.events("removed") for one in people), what="both are told")
    assert (await people[1].join(room, "p1"))["ok"]
    worker.moderated.want(room)
    other.moderated.want(room)
    await stays(lambda: len(people[1].events("removed")) == 1, 0.5, "it stays")


async def test_a_room_in_which_nothing_was_ever_said_stays_closed_longer_than_its_position(
    redis_url: str, room: str
) -> None:
    async with chat_worker(
        redis_url, timeout_s=10.0, identities=identities(), rules=rules(), empty_ttl_s=1, grace_s=0.1
    ) as worker:
        ann = await joined(worker, room, None, "ann")
        await worker.moderation.mute("backend", room, Target("", "ann"))
        ann.close()
        gone = worker.store.call
        await until(
            lambda: _is(gone(keys.meta(room), "EXISTS", keys.meta(room)), 0), 10, "its position is gone"
        )
        back = await joined(worker, room, None, "ann")
        assert (await back.send(room, "x"))["reason"] == "muted"


async def test_a_room_can_be_slowed_down_and_moderators_need_not_wait(worker: ChatWorker, room: str) -> None:
    ann, mod = await joined(worker, room, None, "ann"), await joined(worker, room, MOD)
    assert (await mod.call("slow", {"room": room, "seconds": 60}))["ok"]
    assert (await ann.send(room, "a", idempotency_key="k"))["ok"]
    refused = await ann.send(room, "b")
    assert (refused["code"], 55_000 < refused["retry_after_ms"] <= 60_000) == ("rate_limited", True)
    assert (await ann.send(room, "a", idempotency_key="k"))["ok"], "it was stored before"
    assert [(await mod.send(room, "m"))["ok"] for _ in range(3)] == [True] * 3
    assert (await mod.call("slow", {"room": room}))["ok"]
    assert [(await ann.send(room, "c"))["ok"] for _ in range(2)] == [True] * 2


@pytest.mark.parametrize(("seconds", "is_refused"), [(0, False), (60, True)])
async def test_what_a_moderator_sets_counts_in_place_of_the_rule(
    redis_url: str, room: str, seconds: int, is_refused: bool
) -> None:
    async with chat_worker(
        redis_url, timeout_s=10.0, identities=identities(), rules=rules(slow_s=30)
    ) as worker:
        ann = await joined(worker, room, None, "ann")
        await worker.moderation.slow("backend", room, seconds)
        assert (await ann.send(room, "a"))["ok"]
        second = await ann.send(room, "b")
        assert ("retry_after_ms" in second) == is_refused
        assert not is_refused or second["retry_after_ms"] > 50_000
        await worker.moderation.slow("backend", room, None)
        await worker.store.call(keys.meta(room), "DEL", keys.slow(room, "", "ann"))
        assert (await ann.send(room, "c"))["ok"]
        assert 0 < (await ann.send(room, "d"))["retry_after_ms"] <= 30_000, "the rule counts again"


# -- who may, and what is written


EVENTS: dict[str, dict[str, Any]] = {
    "redact": {"id": "e:1"}, "edit": {"id": "e:1", "message": "x"}, "kick": {"user": "u"}, "mute": {"user": "u"},
    "unmute": {"user": "u"}, "slow": {"seconds": 1}, "close": {}, "reopen": {},
}  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
async def test_it_takes_the_grant(worker: ChatWorker, room: str, event: str) -> None:
    for client in (await joined(worker, room, ADA), worker.connect(identity=ADA), worker.connect()):
        refused = await client.call(event, {"room": room, **EVENTS[event]})
        assert (refused["code"], refused["operation"]) == (
            "forbidden",
            "edit" if event == "edit" else "moderate",
        )
        assert client.events("error")[0]["event"] == event
    assert (
        await worker.store.call(keys.moderated(room), "EXISTS", keys.moderated(room), keys.mutes(room)) == 0
    )


@pytest.mark.parametrize("event", EVENTS)
async def test_without_tokens_there_are_no_such_events(redis_url: str, room: str, event: str) -> None:
    async with chat_worker(redis_url, timeout_s=10.0) as worker:
        client = worker.connect()
        refused = await client.call(event, {"room": room, **EVENTS[event]})
        assert refused["message"].startswith(
            f"Unknown event '{event}'; known are join, send, leave, members, history"
        )
        assert "redact" not in refused["message"].partition(";")[2]
        assert event in EVENTS_WITH_TOKENS


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        ("redact", {}), ("redact", {"id": 7}), ("redact", {"id": "x"}), ("edit", {"id": "e:1"}),
        ("edit", {"id": "e:1", "message": ""}), ("edit", {"id": "e:1", "message": "x" * 5000}),
        ("kick", {}), ("kick", {"user": "a", "username": "b"}), ("kick", {"user": ""}), ("kick", {"user": 7}),
        ("kick", {"user": "x" * 129}), ("kick", {"user": "a", "for_s": -1}), ("kick", {"user": "a", "for_s": "1"}),
        ("kick", {"user": "a", "for_s": True}), ("kick", {"user": "a", "for_s": 1e300}),
        ("kick", {"user": "a", "reason": "x" * 129}), ("kick", {"user": "a", "reason": "a\nb"}),
        ("mute", {"user": "a", "for_s": 0}), ("mute", {"username": "\x1f"}), ("slow", {"seconds": 86_401}),
        ("slow", {"seconds": 1, "for_s": 0.5}), ("close", {"for_s": 4e8}), ("close", {"room": "a{b}"}),
        ("reopen", {"room": 7}), ("kick", {"user": "\ud800"}),
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_refused(
    worker: ChatWorker, room: str, event: str, wrong: dict[str, Any]
) -> None:
    refused = await worker.connect(identity=MOD).call(event, {"room": room, **wrong})
    assert refused["code"] in ("bad_request", "too_large")


async def test_the_log_says_who_did_what_and_never_a_text(worker: ChatWorker, room: str) -> None:
    mod = await joined(worker, room, MOD)
    position = (await mod.send(room, "SECRET"))["id"]
    with structlog.testing.capture_logs() as logs:
        for event, more in (
            ("edit", {"id": position, "message": "SECRET2"}), ("redact", {"id": position}),
            ("mute", {"user": "u", "for_s": 5}), ("unmute", {"user": "u"}), ("slow", {"seconds": 1}),
            ("kick", {"username": "g", "reason": "SECRET3"}), ("close", {}), ("reopen", {}),
        ):  # fmt: skip
            assert (await mod.call(event, {"room": room, **more}))["ok"]
    lines = [line for line in logs if line.get("by")]
    assert [(line["event"], line["by"], line["room"]) for line in lines] == [
        (event, "mod", room)
        for event in ("message_edited", "message_redacted", "user_muted", "user_unmuted", "room_slowed",
                      "user_kicked", "room_closed", "room_reopened")
    ]  # fmt: skip
    assert "SECRET" not in str(logs)


async def test_everything_ends_and_takes_its_keys_along(worker: ChatWorker, room: str) -> None:
    call = worker.store.call
    await joined(worker, room, None, "ann")
    await worker.moderation.mute("b", room, Target("u", ""), 1)
    for key in (keys.moderated(room), keys.mutes(room)):
        assert 0 < await call(key, "PTTL", key) <= 1000
    await until(lambda: _is(call(keys.mutes(room), "EXISTS", keys.moderated(room), keys.mutes(room)), 0), 5)
    await worker.moderation.mute("b", room, Target("u", ""), 600)
    await worker.moderation.unmute("b", room, Target("u", ""))
    assert await call(keys.mutes(room), "EXISTS", keys.moderated(room), keys.mutes(room)) == 0
    await worker.moderation.close("b", room, 1)
    assert 590_000 < await call(key, "PTTL", keys.moderated(room)) <= 600_000, (
        "for workers that have not heard"
    )
    await until(lambda: _is_joined(worker, room), 5, "it is open by itself")
    await worker.moderation.mute("b", room, Target("u", ""))
    assert await call(keys.mutes(room), "TTL", keys.mutes(room)) > 86_400 * 3600, "ten years at most"
    assert await call(keys.MODERATED, "TTL", keys.MODERATED) > 0


async def test_there_is_a_bound_and_what_has_ended_makes_room(worker: ChatWorker, room: str) -> None:
    key = keys.mutes(room)
    ended = [part for number in range(ENTRIES_MAX + 1) for part in (f"u{number}", "1")]
    await worker.store.call(key, "HSET", key, *ended[:-4])
    await worker.moderation.mute("b", room, Target("x", ""), 60)
    assert await worker.store.call(key, "HLEN", key) <= ENTRIES_MAX
    lasting = [part for number in range(ENTRIES_MAX + 1) for part in (f"u{number}", "99999999999999")]
    await worker.store.call(key, "HSET", key, *lasting)
    mod = await joined(worker, room, MOD)
    refused = await mod.call("mute", {"room": room, "user": "one more"})
    assert (refused["code"], refused["reason"]) == ("forbidden", "too_many")


async def _sent_as(worker: ChatWorker, room: str, user: str, text: str) -> str:
    """A message of a user."""
    done: list[Any] = []
    head = json.dumps({"message": text, "username": user}, separators=(",", ":"))[:-1] + ',"__createdtime__":'
    more = f'"user":"{user}"'.encode()
    worker.publisher.publish(worker.hub.room(room), head.encode(), None, done.append, None, more)
    await until(lambda: bool(done), what="it is stored")
    return str(done[0])


def _position(text: str) -> Any:
    from gateway.protocol import Position

    return Position.parse(text)


async def _is_joined(worker: ChatWorker, room: str) -> bool:
    return bool((await worker.connect().join(room, "late"))["ok"])


async def _is(asked: Any, wanted: Any) -> bool:
    return bool(await asked == wanted)


async def test_a_moderator_may_do_five_things_a_second_and_twenty_at_once(redis_url: str, room: str) -> None:
    limits = ConnectionLimits(LimitOptions(), 100)
    async with chat_worker(
        redis_url, timeout_s=10.0, identities=identities(), rules=rules(), limits=limits
    ) as worker:
        mod = await joined(worker, room, MOD)
        answers = [await mod.call("unmute", {"room": room, "user": "u"}) for _ in range(25)]
        refused = [one for one in answers if not one["ok"]]
        assert 1 <= len(refused) <= 5
        assert {(one["code"], 0 < one["retry_after_ms"] <= 1000) for one in refused} == {
            ("rate_limited", True)
        }
