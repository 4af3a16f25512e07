"""docs/webhooks.md: the receiver that it shows takes what the gateway posts; and what `gateway check` shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.access.room_rules import RoomRule, RoomRules
from gateway.server.webhook_lines import never_told, webhook_lines
from gateway.webhooks.posting import Posting, message_id
from gateway.webhooks.webhook import EVENTS, Webhook
from tests.support.webhook_receiver import SECRET, hooks_file

PAGE = (Path(__file__).resolve().parents[2] / "docs/webhooks.md").read_text()
MESSAGE = b'{"type":"message","message":"Hello","username":"ann","__createdtime__":5,"room":"tea","id":"a:1"}'


async def test_the_receiver_of_the_page_takes_what_is_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flask", reason="Flask comes with the group `load`")
    from werkzeug.serving import make_server

    monkeypatch.setenv("WEBHOOK_SECRET", f"whsec_{SECRET}")
    (code,) = re.findall(r"```python\n(# receiver.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(code, names)
    server = make_server("127.0.0.1", 0, names["app"])
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/chat-events"
        honest, forger = (
            Posting(Webhook(name="app", url=url, secrets=(secret,))) for secret in (b"k" * 32, b"x" * 32)
        )
        states = [
            json.dumps({"type": kind, "room": "tea", "version": version}).encode()
            for kind, version in (("vacated", 8), ("occupied", 7), ("gap", 0), ("new", 1))
        ]
        states[2] = b'{"type":"gap","room":"tea","from":"a:1","to":"a:3"}'
        changed = b'{"type":"changed","room":"tea","id":"a:1","kind":"redacted","message":"","by":"m","at":9}'
        assert await honest.post([MESSAGE, MESSAGE, changed, *states]) == ""
        assert await forger.post([MESSAGE.replace(b"a:1", b"a:2")]) == "it answers 401"
        await honest.close()
        await forger.close()
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert list(names["messages"]) == [("tea", "a:1")]
    assert names["messages"]["tea", "a:1"]["message"] == ""
    assert names["occupied"] == {"tea": (8, False)}


async def test_an_answer_must_come_within_the_limit_and_nobody_there_is_a_failure() -> None:
    from tests.support.webhook_receiver import receiver

    async with receiver() as app:
        app.delay_s = 0.3
        slow = Posting(Webhook(name="app", url=app.url, secrets=(b"k" * 32,)), limit_s=0.1)
        assert await slow.post([MESSAGE]) == "no answer within 0.1 s"
        await slow.close()
    gone = Posting(Webhook(name="app", url=app.url, secrets=(b"k" * 32,)))
    assert await gone.post([MESSAGE]) == "ClientConnectorError"
    await gone.close()


def test_the_same_events_have_the_same_id_whoever_posts_them() -> None:
    assert message_id("app", [b"one", b"two"]) == message_id("app", [b"one", b"two"])
    others = {
        message_id("app", [b"onetwo"]),
        message_id("app", [b"two", b"one"]),
        message_id("b", [b"one", b"two"]),
    }
    assert message_id("app", [b"one", b"two"]) not in others
    assert len(others) == 3


def test_check_shows_webhooks_and_nothing_secret() -> None:
    hook = Webhook(name="app", url="https://a.example/hidden?key=hidden", secrets=(b"k" * 32, b"n" * 32))
    (line,) = webhook_lines([hook])
    assert line == (
        "webhook",
        "app is told message, room, member of every room at https://a.example/…, signed with 2 secrets",
    )


RULES = RoomRules(
    [
        RoomRule(match="class:*", line=1),
        RoomRule(match="stage:**", members="count", line=5),
        RoomRule(match="**", members="count", line=9),
    ]
)


@pytest.mark.parametrize(
    ("rooms", "events", "lines"),
    [
        (("**",), EVENTS, [5, 9]),
        (("stage:*", "stage:7"), EVENTS, [5]),
        (("class:7",), EVENTS, []),
        (("class:*:today",), EVENTS, [9]),
        (("**",), ("message", "room"), []),
    ],
    ids=["all", "two patterns, one rule", "named", "others", "not asked for"],
)
def test_check_warns_of_members_that_a_webhook_is_never_told_of(
    rooms: tuple[str, ...], events: tuple[str, ...], lines: list[int]
) -> None:
    hook = Webhook(name="app", url="https://a.example/", secrets=(b"k" * 32,), rooms=rooms, events=events)
    found = list(never_told([hook], RULES))
    assert [int(each.partition("(line ")[2].partition(")")[0]) for each in found] == lines
    if lines == [5]:
        assert found[0] == (
            "webhook app never gets joined and left of rooms that match 'stage:**' (line 5): their members are only "
            "counted"
        )


@pytest.mark.system
@pytest.mark.long
def test_the_command_shows_them(redis_url: str, tmp_path: Path) -> None:
    file = hooks_file(tmp_path, {"url": "https://a.example/hidden", "name": "app", "rooms": ["tea:*"]})
    environment = {
        "PATH": "/usr/bin",
        "REDIS_URL": redis_url,
        "GATEWAY_CONFIG": str(file),
        "HOME": str(tmp_path),
    }
    ran = subprocess.run(
        [sys.executable, "-m", "gateway", "check"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert "app is told message, room, member of tea:* at https://a.example/…" in ran.stdout, ran.stderr
    assert SECRET not in ran.stdout + ran.stderr
    assert "hidden" not in ran.stdout + ran.stderr
