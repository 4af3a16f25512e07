"""Users whose tokens are revoked, and users who are banned: real workers, real tokens, stock clients, the command."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.state.revocations import tokens_until
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.identified import refusal, typed, writer
from tests.support.servers import Valkey
from tests.support.stock_clients import JavaScriptClient
from tests.support.tokens import secrets_file, signed
from tests.support.waiting import stays, until

pytestmark = [pytest.mark.system, pytest.mark.long]

WORKERS = 2


def tokens(folder: Path) -> dict[str, str]:
    return {"GATEWAY_AUTH": "optional", "GATEWAY_TOKEN_SECRETS_FILE": str(secrets_file(folder))}


def told(client: JavaScriptClient) -> list[tuple[str, str]]:
    return [(data["code"], data["reason"]) for name, data in client.events if name == "error"]


async def test_a_stock_client_of_a_banned_user_is_told_comes_back_once_and_is_refused_for_good(
    server: Valkey, tmp_path: Path, javascript: None
) -> None:
    async with (
        Gateway(server.url, workers=WORKERS, environment=tokens(tmp_path)) as gateway,
        JavaScriptClient() as ada,
    ):
        await ada.connect(gateway.url, "upgrade", token=signed())
        await typed(server.url, "ban", "--user", "ada")
        await until(lambda: ada.refusals, 5, "it comes back and is refused")
        assert told(ada) == [("forbidden", "banned")]
        assert ada.refusals[0]["data"] == {"code": "forbidden", "reason": "banned", "retryable": False}
        await stays(lambda: len(ada.refusals) == 1 and ada.connects == 1, 1.5, "that is final")
        for _ in range(8):
            found = await refusal(gateway.url, {"token": signed(jti="another")})
            assert (found["data"]["reason"], found["message"]) == ("banned", "You are banned.")
        await (await Member.connect(gateway.url)).close()  # guests are not meant


async def test_a_stock_client_whose_token_is_revoked_comes_back_with_a_new_one(
    server: Valkey, tmp_path: Path, javascript: None
) -> None:
    async with (
        Gateway(server.url, workers=WORKERS, environment=tokens(tmp_path)) as gateway,
        JavaScriptClient() as ada,
    ):
        old = signed()
        await ada.connect(gateway.url, "websocket", token=old)
        ada.show(signed(iat=int(time.time()) + 8))
        await typed(server.url, "revoke", "--user", "ada")
        await until(lambda: ada.connects == 2, 5, "it is in again")
        assert told(ada) == [("unauthorized", "revoked")]
        assert ada.refusals == []
        found = await refusal(gateway.url, {"token": old})
        assert found["data"] == {"code": "unauthorized", "reason": "revoked", "retryable": False}


async def test_one_token_is_revoked_by_its_id_and_stays_so_after_a_restart(
    server: Valkey, tmp_path: Path
) -> None:
    mine, others = signed(jti="t1"), signed(jti="t2")
    for times in range(2):
        async with Gateway(server.url, workers=1, environment=tokens(tmp_path)) as gateway:
            if not times:
                ada = await Member.connect(gateway.url, auth={"token": mine})
                await typed(server.url, "revoke", "--jti", "t1")
                await asyncio.wait_for(ada.closed.wait(), 5)
                assert [(one["code"], one["reason"]) for one in ada.errors] == [("unauthorized", "revoked")]
                await ada.close()
            assert (await refusal(gateway.url, {"token": mine}))["data"]["reason"] == "revoked"
            await (await Member.connect(gateway.url, auth={"token": others})).close()


async def test_of_200_users_99_in_100_are_out_within_a_second_and_refused_by_each_worker(
    server: Valkey, tmp_path: Path
) -> None:
    async with (
        Gateway(server.url, workers=WORKERS, environment=tokens(tmp_path)) as gateway,
        writer(server.url) as revoked,
    ):
        words = {f"u{at}": signed(sub=f"u{at}") for at in range(200)}
        members = {
            user: await Member.connect(gateway.url, auth={"token": word}) for user, word in words.items()
        }
        assert len({member.sid.partition(".")[0] for member in members.values()}) == WORKERS
        await asyncio.sleep(1)  # so that their tokens were issued before

        async def revoke(user: str, begin_s: float) -> float:
            await asyncio.sleep(begin_s)
            begun_s = time.monotonic()
            await revoked.change([tokens_until(user, time.time(), 90_000)], time.time())
            await asyncio.wait_for(members[user].closed.wait(), 10)
            return time.monotonic() - begun_s

        taken_s = sorted(await asyncio.gather(*(revoke(user, at * 0.05) for at, user in enumerate(members))))
        print(f"revoked: p50 {taken_s[99]:.3f} s, p99 {taken_s[197]:.3f} s, longest {taken_s[-1]:.3f} s")
        assert taken_s[197] <= 1.0
        for user in list(words)[::10]:
            for _ in range(4):
                assert (await refusal(gateway.url, {"token": words[user]}))["data"]["reason"] == "revoked"
        for member in members.values():
            assert [(one["code"], one["reason"]) for one in member.errors] == [("unauthorized", "revoked")]
            await member.close()
