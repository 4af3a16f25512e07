"""The load test runs small against four workers, and its ledger finds nothing."""

from __future__ import annotations

import asyncio
import importlib.util
import sys

import pytest

from tests.support.binaries import missing
from tests.support.gateways import REPOSITORY, Gateway

LIMIT_S = 60.0


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_small_load_loses_doubles_and_misorders_nothing(gateway: Gateway, transport: str) -> None:
    if importlib.util.find_spec("locust") is None:
        missing("locust is not installed (uv sync --group load)")
    words = ("--headless", "-u", "24", "-r", "24", "-t", "3s", "--rooms", "6", "--transport", transport)
    locust = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", *words, "--host", gateway.url,
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(locust.communicate(), LIMIT_S)
    finally:
        if locust.returncode is None:
            locust.kill()
            await locust.wait()
    text = said.decode()
    assert locust.returncode == 0, text
    assert "Nothing missing, doubled or out of order." in text
