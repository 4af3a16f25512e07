"""Gateways where tokens count: their options, what they refuse, and the commands that revoke and ban."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.redis.address import FixedFinder, endpoint_of
from gateway.redis.commands import PrimaryCommands
from gateway.redis.server_watch import ServerWatch
from gateway.state.revocations import RevocationStore
from tests.support.clients import Member
from tests.support.redis_limits import LIMITS
from tests.support.tokens import JwksServer, rsa_key, secrets_file, signed


def with_secrets(folder: Path, auth: str = "required", **more: str) -> dict[str, str]:
    return {"GATEWAY_AUTH": auth, "GATEWAY_TOKEN_SECRETS_FILE": str(secrets_file(folder)), **more}


def with_provider(idp: JwksServer, **more: str) -> dict[str, str]:
    return {
        "GATEWAY_AUTH": "required", "GATEWAY_JWKS_URL": f"{idp.url}?{idp.name}",
        "GATEWAY_TOKEN_ISSUERS": "https://idp", "GATEWAY_TOKEN_AUDIENCES": "chat", **more,
    }  # fmt: skip


def published(number: int, kid: str, **about: Any) -> str:
    """A token of the identity provider, signed by the key of that number."""
    return signed(rsa_key(number), "RS256", kid, iss="https://idp", aud="chat", **about)


async def refusal(url: str, auth: dict[str, Any] | None) -> dict[str, Any]:
    """What `connect_error` says."""
    with pytest.raises(ConnectionRefusedError) as refused:
        await Member.connect(url, auth=auth)
    found: dict[str, Any] = json.loads(str(refused.value))
    return found


async def typed(url: str, *words: str) -> str:
    """Runs `gateway` with these words."""
    command = [sys.executable, "-m", "gateway", *words]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env={**os.environ, "REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    return done.stdout


@asynccontextmanager
async def writer(url: str) -> AsyncIterator[RevocationStore]:
    store = PrimaryCommands(FixedFinder(endpoint_of(url)), ServerWatch(), "test-bans", LIMITS)
    await store.start(10)
    yield RevocationStore(store)
    await store.close()
