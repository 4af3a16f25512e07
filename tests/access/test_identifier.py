"""Who decides who a client is: required or optional, remembered while the key counts, and a few lines in the log."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.access import tokens
from gateway.access.identifier import TokenIdentifier
from gateway.access.identity import GUEST, Identity, NotAdmitted, Reason
from gateway.access.key_files import FileKeys
from gateway.access.remembered import Remembered
from gateway.access.tokens import TokenRules
from gateway.access.verifying_keys import VerifyingKey
from gateway.identity_options import IdentityOptions
from gateway.metrics import auth
from gateway.transport.refusals import LINES_PER_S
from tests.support.tokens import OTHER_SECRET, secrets_file, signed

KEY = VerifyingKey("one", "HS256", b"", b"")


def of_file(folder: Path, is_required: bool = True) -> tuple[TokenIdentifier, FileKeys]:
    keys = FileKeys(IdentityOptions(auth="required", secrets_file=str(secrets_file(folder))))
    return TokenIdentifier(keys, TokenRules(), is_required), keys


async def test_who_has_no_token_is_a_guest_only_where_none_is_required(tmp_path: Path) -> None:
    assert await of_file(tmp_path, is_required=False)[0].identify(None) is GUEST
    with pytest.raises(NotAdmitted) as refused:
        await of_file(tmp_path)[0].identify(None)
    assert refused.value.reason is Reason.MISSING


async def test_a_bad_token_is_refused_where_none_is_required_too(tmp_path: Path) -> None:
    with pytest.raises(NotAdmitted):
        await of_file(tmp_path, is_required=False)[0].identify(signed(OTHER_SECRET))


async def test_a_token_is_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identifier, keys = of_file(tmp_path)
    token = signed()
    first = await identifier.identify(token)
    monkeypatch.delattr(tokens, "_JWS")  # nothing can be verified any more
    assert await identifier.identify(token) is first
    secrets_file(tmp_path, ("two", OTHER_SECRET))
    keys.look()
    monkeypatch.undo()
    with pytest.raises(NotAdmitted) as refused:
        await identifier.identify(token)
    assert refused.value.cause == "signature", "its key does not count any more"


async def test_refusals_are_counted_and_a_few_of_them_logged_without_the_token(tmp_path: Path) -> None:
    identifier, _ = of_file(tmp_path)
    bad, before = signed(OTHER_SECRET), dict(auth.samples())
    with capture_logs() as lines:
        for _ in range(100):
            with pytest.raises(NotAdmitted):
                await identifier.identify(bad)
        await asyncio.sleep(1.05)  # another line may be written
        with pytest.raises(NotAdmitted):
            await identifier.identify(bad)
    assert dict(auth.samples())["signature",] - before["signature",] == 101
    assert LINES_PER_S < len(lines) < 50
    assert sum(line.get("unlogged_before", 0) for line in lines) + len(lines) == 101
    assert bad[:30] not in str(lines)


def test_the_memory_is_bounded_and_forgets_the_ones_that_are_not_asked_for() -> None:
    memory, now_s = Remembered(3), time.time()
    names = [Remembered.name(str(number)) for number in range(5)]
    for name in names:
        memory.keep(name, Identity("ada", expires_at_s=now_s + 60), KEY)
        memory.get(names[0], now_s)
    assert len(memory) == 3
    assert [memory.get(name, now_s) is not None for name in names] == [True, False, False, True, True]


def test_the_memory_of_a_token_ends_with_it() -> None:
    memory, name = Remembered(), Remembered.name("token")
    memory.keep(name, Identity("ada", expires_at_s=100.0), KEY)
    assert memory.get(name, 99.0) is not None
    assert memory.get(name, 100.0) is None
    assert len(memory) == 0
