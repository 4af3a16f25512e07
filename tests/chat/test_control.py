"""Words to all workers: each is heard by whom it is for, and nothing that comes on the channel does harm."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import structlog

from gateway import keys
from gateway.access.identity import Identity
from gateway.chat.control import WORD_BYTES_MAX, Control, Word, read_word
from gateway.chat.session import DISCONNECT
from gateway.metrics import control_malformed
from gateway.redis.commands import PrimaryCommands
from tests.support.chat_worker import ChatWorker, Client, chat_worker
from tests.support.waiting import until

ADA = Identity(user="ada")


@pytest.fixture
async def other(redis_url: str) -> AsyncIterator[ChatWorker]:
    """A second worker on the same Redis."""
    async with chat_worker(redis_url, timeout_s=10.0) as other:
        yield other


def told(client: Client) -> list[tuple[str, str, bool]]:
    return [(one["code"], one["reason"], one["retryable"]) for one in client.events("error")]


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b'{"do":"x","user":"1"}', {"do": "x", "user": "1"}),
        (b"revoked 7", {"do": "revoked", "version": "7"}),
        (b"", None),
        (b"{}", None),
        (b'{"do":7}', None),
        (b"[1]", None),
        (b"\xff", None),
        (b'{"do":"x","more":"%b"}' % (b"x" * WORD_BYTES_MAX), None),
    ],
)
def test_a_word_is_an_object_with_do_or_the_one_of_older_gateways(payload: bytes, word: Word | None) -> None:
    assert read_word(payload) == word


def test_a_word_that_somebody_cannot_handle_keeps_no_other_from_being_heard(store: PrimaryCommands) -> None:
    heard: list[Word] = []

    def fail(word: Word) -> None:
        raise OSError("a fault of ours")

    def refuse(word: Word) -> None:
        raise KeyError("user")

    control = Control(store, {"fail": fail, "refuse": refuse, "hear": heard.append})
    before = control_malformed.value
    with structlog.testing.capture_logs() as logs:
        for do in ("fail", "refuse", "of a newer worker", "hear"):
            control.on_message(json.dumps({"do": do}).encode())
    assert [word["do"] for word in heard] == ["hear"]
    assert [(line["event"], line["do"]) for line in logs] == [("control_word_failed", "fail")]
    assert control_malformed.value - before == 1


async def test_a_user_who_may_come_back_is_told_and_closed_on_every_worker(
    worker: ChatWorker, other: ChatWorker
) -> None:
    here, there, ben = worker.connect(identity=ADA), other.connect(identity=ADA), other.connect()
    await worker.control.disconnect("ada", reconnect=True, code="moved")
    await until(lambda: here.recorder.ended and there.recorder.ended, what="both are closed")
    assert told(here) == told(there) == [("forbidden", "moved", True)]
    assert DISCONNECT not in here.recorder.packets
    assert (ben.recorder.ended, ben.events("error")) == ("", [])


async def test_a_user_who_shall_stay_away_gets_disconnect(worker: ChatWorker) -> None:
    ada = worker.connect(identity=ADA)
    await worker.control.disconnect("ada", reconnect=False)
    await until(lambda: DISCONNECT in ada.recorder.packets, what="DISCONNECT")
    assert told(ada) == [("forbidden", "disconnected", False)]
    assert not ada.recorder.is_read
    await until(lambda: ada.recorder.ended, what="it is closed a second later")


@pytest.mark.parametrize(
    "about", [{}, {"user": "ada"}, {"user": 7, "reconnect": True}, {"user": "", "reconnect": True},
              {"user": "ada", "reconnect": "yes"}, {"user": "ada", "reconnect": True, "code": ["x"]}],
)  # fmt: skip
async def test_a_malformed_disconnect_ends_nobody(worker: ChatWorker, about: dict[str, object]) -> None:
    ada, before = worker.connect(identity=ADA), control_malformed.value
    worker.on_foreign_message(keys.CONTROL, json.dumps({"do": "disconnect", **about}).encode())
    assert (control_malformed.value - before, ada.recorder.ended) == (1, "")
