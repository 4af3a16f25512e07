"""HAProxy and nginx as `deploy/` configures them, in front of gateways of a test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.binaries import program
from tests.support.gateways import REPOSITORY, fetch_json
from tests.support.ports import Port
from tests.support.waiting import until

DEPLOY = REPOSITORY / "deploy"
START_LIMIT_S = 10.0
STOP_LIMIT_S = 5.0


@asynccontextmanager
async def balancer(
    kind: str, gateways: Sequence[int], prefix: str = "", takes_away: bool = False
) -> AsyncIterator[str]:
    """Runs `haproxy` or `nginx` before two gateways, by port; yields its URL when it passes requests.

    `prefix` is where clients come in: the gateways know it, or the balancer `takes_away` what they do not know.
    """
    front, folder = Port(), Path(tempfile.mkdtemp(prefix="lb-"))
    try:
        places = {"LISTEN": f"127.0.0.1:{front.number}"}
        places |= {f"GATEWAY_{n}": f"127.0.0.1:{port}" for n, port in enumerate(gateways, 1)}
        if not takes_away:
            places["PREFIX"] = prefix
        taken = prefix if takes_away else ""
        command = _haproxy(folder, taken) if kind == "haproxy" else _nginx(folder, places, taken)
        url = f"http://127.0.0.1:{front.number}"
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **places},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await _until_it_passes_requests(f"{url}{prefix}", process, folder / "log")
            yield url
        finally:
            _stop(process)
    finally:
        front.release()
        shutil.rmtree(folder, ignore_errors=True)


def _haproxy(folder: Path, taken: str) -> list[str]:
    (folder / "haproxy.cfg").write_text(_taking_away(taken, (DEPLOY / "haproxy.cfg").read_text()))
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def _taking_away(prefix: str, configuration: str) -> str:
    """With its line for that, and this prefix in it."""
    if not prefix:
        return configuration
    changed, count = re.subn(
        r"#((?:http-request replace-path|rewrite) \^?)/chat\(", rf"\1{prefix}(", configuration
    )
    assert count == 1, "one line takes a prefix away"
    return changed


def _nginx(folder: Path, places: dict[str, str], taken: str) -> list[str]:
    """Fills in the template as `envsubst` does: the named variables and nothing else."""
    template = _taking_away(taken, (DEPLOY / "nginx.conf").read_text())
    filled = re.sub(r"\$\{?(LISTEN|GATEWAY_[12])\b\}?", lambda found: places[found[1]], template)
    (folder / "nginx.conf").write_text(filled)
    return [
        program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"),
        "-g", f"daemon off; pid {folder}/pid;",
    ]  # fmt: skip


async def _until_it_passes_requests(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async def passes() -> bool:
        return process.poll() is not None or (await fetch_json(f"{url}/readyz"))[0] == 200

    try:
        await until(passes, START_LIMIT_S, "the balancer passes requests")
        assert process.poll() is None, f"the balancer ended with {process.returncode}"
    except AssertionError as failed:
        raise AssertionError(f"{failed}\n{log.read_text(errors='replace')}") from failed


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=STOP_LIMIT_S)
