"""A small run of the load test: people who chat by Locust's own clients, judged by the ledger at the end."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys

import pytest

from tests.binaries import missing
from tests.system.gateways import REPOSITORY, Gateway

PEOPLE, ROOMS, SECONDS = 30, 5, 6
LIMIT_S = 60.0


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_small_load_loses_doubles_and_misorders_nothing(gateway: Gateway, transport: str) -> None:
    if importlib.util.find_spec("locust") is None:
        missing("locust is not installed (uv sync --group load)")
    arguments = {"--users": PEOPLE, "--spawn-rate": PEOPLE, "--run-time": f"{SECONDS}s", "--rooms": ROOMS}
    arguments |= {"--host": gateway.url, "--transport": transport, "--locustfile": "loadtest/locustfile.py"}
    words = [str(word) for pair in arguments.items() for word in pair]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "locust", "--headless", "--only-summary", *words,
        cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = output.decode(errors="replace")
    assert process.returncode == 0, said
    assert "Nothing missing, doubled or out of order." in said
