"""The protocols' own test suites (github.com/socketio/socket.io, `docs/*-protocol/*-test-suite`) on the echo app.

They are not part of this repository. `PROTOCOL_SUITES` names the folder `docs` of a checkout, in which `npm ci` was run
in both suites' folders; `PROTOCOL_SUITES=… pytest -m long tests/system/conformance/test_official.py`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.binaries import missing, program
from tests.system.conformance.conftest import check_unharmed
from tests.system.conformance.echo_server import EchoServer, balanced_echo_server, echo_server

ENGINE, SOCKET = "engine.io-protocol/v4-test-suite", "socket.io-protocol/v5-test-suite"
THEIR_URL = "http://localhost:3000"
LIMIT_S = 100
WAYS: dict[str, tuple[str, Callable[[], AbstractContextManager[EchoServer]], int]] = {
    "engine.io": (ENGINE, lambda: echo_server("engine.io"), 25),
    "socket.io": (SOCKET, lambda: echo_server("socket.io"), 32),
    "socket.io, 4 workers behind HAProxy": (SOCKET, lambda: balanced_echo_server("socket.io", 4), 32),
}
"""The suite, the server, and how many tests there are."""


@pytest.mark.long
@pytest.mark.system
@pytest.mark.parametrize("way", WAYS)
def test_the_protocol_s_own_suite_passes(way: str, tmp_path: Path) -> None:
    suite, serve, tests = WAYS[way]
    if not (docs := os.environ.get("PROTOCOL_SUITES")):
        missing("PROTOCOL_SUITES names no checkout of the protocols' suites")
    folder = Path(docs).resolve() / suite
    for name in ("node-imports.js", "package.json", "node_modules"):
        (tmp_path / name).symlink_to(folder / name)
    with serve() as server:
        text = (folder / "test-suite.js").read_text().replace(THEIR_URL, server.url)
        (tmp_path / "test-suite.js").write_text(text)
        ran = subprocess.run(
            [program("node"), folder / "node_modules/mocha/bin/mocha", "test-suite.js"],
            cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert f"{tests} passing" in ran.stdout, ran.stdout + ran.stderr
        assert ran.returncode == 0, ran.stdout
        check_unharmed(server)
