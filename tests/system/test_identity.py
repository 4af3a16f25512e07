"""Tokens and keys, seen from outside: who is let in, what stops a start, and what a worker without keys does."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.support.clients import HandshakeRefused, Member
from tests.support.gateways import REPOSITORY, Gateway
from tests.support.identified import published, refusal, with_provider, with_secrets
from tests.support.opener import Opener
from tests.support.tokens import OTHER_SECRET, SECRET, JwksServer, jwk, rsa_key, secrets_file, signed
from tests.support.waiting import until

pytestmark = pytest.mark.system
COMMAND = (sys.executable, "-m", "gateway")


async def test_a_token_lets_its_user_in_and_anything_else_is_told_why(
    redis_url: str, connect: Opener, room: str, tmp_path: Path
) -> None:
    async with Gateway(redis_url, workers=1, environment=with_secrets(tmp_path)) as gateway:
        ada = await connect(gateway.url, auth={"token": signed(kid="one")})
        assert (await ada.join("Ada", room))["ok"] is True
        (welcome,) = [each.data for each in ada.arrivals if each.name == "welcome"]
        assert (welcome["user"], welcome["username"]) == ("ada", "Ada")
        for auth, reason in (
            (None, "missing"),
            ({"token": ""}, "missing"),
            ({"token": "word"}, "malformed"),
            ({"token": 7}, "malformed"),
            ({"token": signed(OTHER_SECRET, kid="one")}, "invalid"),
            ({"token": signed(kid="two")}, "invalid"),
            ({"token": signed(iat=1, exp=600)}, "expired"),
        ):
            told = await refusal(gateway.url, auth)
            assert told["data"] == {"code": "unauthorized", "reason": reason, "retryable": False}, auth
        await until(lambda: gateway.log().count("client_not_identified") == 7, what="each has its line")
        log = gateway.log()
        assert '"cause":"signature"' in log
        assert '"cause":"unknown_key"' in log
        assert signed(kid="one")[:40] not in log
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/metrics") as answer:
            numbers = await answer.text()
    for result, count in (("ok", 1), ("missing", 2), ("not_a_token", 2), ("signature", 1), ("expired", 1)):
        assert f'auth_total{{result="{result}",worker="0"}} {count}\n' in numbers, result


@pytest.mark.long
async def test_a_token_may_stand_where_an_option_says_and_its_address_is_not_logged(
    redis_url: str, tmp_path: Path
) -> None:
    environment = with_secrets(
        tmp_path, GATEWAY_TOKEN_FROM="header,cookie:chat,query:token", GATEWAY_LOG_LEVEL="debug",
        GATEWAY_ORIGINS="https://chat.example.org",
    )  # fmt: skip
    token = signed()
    arguments = ["--access-logfile", "-"]
    async with Gateway(redis_url, workers=1, environment=environment, arguments=arguments) as gateway:
        url = f"{gateway.url}/socket.io/?EIO=4&transport=websocket"
        for more, headers in (
            ("", {"Authorization": f"Bearer {token}"}),
            ("", {"Cookie": f"chat={token}"}),
            (f"&token={token}", {}),
        ):
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url + more, headers=headers) as socket,
            ):
                await socket.receive_str()
                await socket.send_str("40")
                assert (await socket.receive_str()).startswith("40{")
                assert (await socket.receive_str()).startswith('42["welcome"')
        async with aiohttp.ClientSession() as session:
            polling = url.replace("websocket", "polling") + f"&token={token}"
            async with session.get(polling) as answer:
                assert answer.status == 200
            async with session.get(polling.replace("EIO=4", "EIO=3")) as answer:
                assert answer.status == 400
            async with session.get(f"{gateway.url}/nowhere?token={token}") as answer:
                assert answer.status == 404
        await until(lambda: '"/nowhere"' in gateway.log(), what="the access log has it")
        assert token[:50] not in gateway.log()
        assert token.rpartition(".")[2] not in gateway.log()


def started(**environment: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a gateway with these options that must not start."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("GATEWAY_", "REDIS_URL"))}
    return subprocess.run(
        [*COMMAND, "serve", "--port", "0", "--workers", "1"],
        cwd=REPOSITORY, env={**kept, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "it cannot be read: No such file or directory"),
        ("one:c2hvcnQ=", "the secret of line 1 is shorter than 32 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_before_anybody_is_served(
    redis_url: str, tmp_path: Path, text: str | None, why: str
) -> None:
    file = tmp_path / "secrets"
    if text is not None:
        file.write_text(text)
    environment = {
        "GATEWAY_AUTH": "required",
        "GATEWAY_TOKEN_SECRETS_FILE": str(file),
        "REDIS_URL": redis_url,
    }
    ended = started(**environment)
    sentence = f"Error: GATEWAY_TOKEN_SECRETS_FILE={str(file)!r} is not allowed: {why}"
    assert ended.stderr.strip().splitlines()[-1] == sentence
    assert "listens" not in ended.stdout + ended.stderr
    assert ended.returncode == 1
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")}
    checked = subprocess.run(
        [*COMMAND, "check"],
        cwd=REPOSITORY,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (checked.stderr.strip(), checked.returncode) == (sentence, 1)


@pytest.mark.long
async def test_a_reload_takes_new_secrets_and_is_refused_with_bad_ones(
    redis_url: str, tmp_path: Path
) -> None:
    async with Gateway(redis_url, workers=1, environment=with_secrets(tmp_path)) as gateway:
        (before,) = await gateway.worker_names()
        (tmp_path / "secrets").write_text("one:c2hvcnQ=")
        os.kill(gateway.master_pid, signal.SIGHUP)
        await until(lambda: "reload_refused" in gateway.log(), 20, "the reload is refused")
        assert "shorter than 32 bytes" in gateway.log()
        await (await Member.connect(gateway.url, auth={"token": signed()})).close()
        secrets_file(tmp_path, ("two", OTHER_SECRET), ("one", SECRET))
        os.kill(gateway.master_pid, signal.SIGHUP)

        async def is_new() -> bool:
            return (await gateway.readiness())[1].get("worker") not in (before, None)

        await until(is_new, 30, "another worker serves")
        for token in (signed(OTHER_SECRET, kid="two"), signed(kid="one")):
            await (await Member.connect(gateway.url, auth={"token": token})).close()


@pytest.mark.long
async def test_a_worker_without_keys_is_not_ready_and_says_come_back_until_it_has_them(
    redis_url: str,
) -> None:
    async with JwksServer() as idp:
        idp.keys = [jwk(rsa_key(), kid="old")]
        await idp.stop()
        async with Gateway(redis_url, workers=1, wait=False, environment=with_provider(idp)) as gateway:

            async def status() -> int:
                return (await gateway.readiness())[0]

            await until(lambda: "worker_not_ready" in gateway.log(), 30, "it says that it is not ready")
            assert await status() == 503
            assert "no keys for tokens" in str(await gateway.readiness())
            with pytest.raises(HandshakeRefused) as refused:
                await Member.connect(gateway.url, auth={"token": published(0, "old")})
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "2")
            await idp.start()
            await gateway.until_ready()
            await (await Member.connect(gateway.url, auth={"token": published(0, "old")})).close()
            with pytest.raises(ConnectionResetError):  # no CONNECT_ERROR: stock clients come back
                await Member.connect(gateway.url, auth={"token": published(1, "unknown")})


@pytest.mark.long
async def test_the_embedded_valkey_has_a_development_secret_of_its_own(connect: Opener, room: str) -> None:
    async with Gateway(None, workers=1, GATEWAY_AUTH="required") as gateway:
        file = Path(gateway._whole_environment()["GATEWAY_STATE_DIR"]) / "token-secrets"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert f"Tokens are signed by a development secret, in {file}." in gateway.log()
        environment = {**os.environ, "GATEWAY_STATE_DIR": str(file.parent)}
        environment.pop("REDIS_URL", None)
        made = subprocess.run(
            [*COMMAND, "token", "new", "--sub", "ada", "--name", "Ada"],
            cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        ada = await connect(gateway.url, auth={"token": made.stdout.strip()})
        assert (await ada.join("Ada", room))["ok"] is True


@pytest.mark.long
async def test_from_open_to_optional_to_required_nobody_breaks_who_has_what_is_asked_for(
    redis_url: str, room: str, tmp_path: Path
) -> None:
    """The recipe of docs/identity.md: clients learn to send a token while the gateway is open."""
    old, new = None, {"token": signed(kid="one")}
    for auth, old_is_in in (("off", True), ("optional", True), ("required", False)):
        async with Gateway(redis_url, workers=1, environment=with_secrets(tmp_path, auth)) as gateway:
            async with await Member.connect(gateway.url, auth=new) as member:
                assert (await member.join("Ada", room))["ok"] is True
                assert bool([each for each in member.arrivals if each.name == "welcome"]) == (auth != "off")
            if old_is_in:
                async with await Member.connect(gateway.url, auth=old) as member:
                    assert (await member.join("someone", room))["ok"] is True
            else:
                assert (await refusal(gateway.url, old))["data"]["reason"] == "missing"


@pytest.mark.long
async def test_a_session_cookie_is_asked_of_the_application_by_the_connect_hook(redis_url: str) -> None:
    async def who(request: web.Request) -> web.Response:
        asked = await request.json()
        if asked != {"token": "session-of-ada"}:
            return web.Response(status=403)
        return web.json_response({"user": "42", "name": "Ada"})

    app = web.Application()
    app.router.add_post("/who", who)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    environment = {
        "GATEWAY_AUTH": "required", "GATEWAY_TOKEN_FROM": "cookie:sessionid", "GATEWAY_ORIGINS": "https://a.example",
        "GATEWAY_CONNECT_HOOK": f"http://127.0.0.1:{runner.addresses[0][1]}/who",
    }  # fmt: skip
    async with Gateway(redis_url, workers=1, environment=environment) as gateway:
        url = f"{gateway.url}/socket.io/?EIO=4&transport=websocket"
        answers = []
        for cookie in ("session-of-ada", "of-nobody"):
            headers = {"Cookie": f"sessionid={cookie}"}
            async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
                await socket.receive_str()
                await socket.send_str("40")
                answers.append((await socket.receive_str())[:3])
        await runner.cleanup()
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
            await socket.receive_str()
            await socket.send_str("40")
            answers.append((await socket.receive()).type.name)
        assert answers == ["40{", "44{", "CLOSE"]
        log = gateway.log()
    assert "session-of-ada" not in log
    assert "Unclosed" not in log
    assert "Traceback" not in log
