"""A real Prometheus that scrapes one gateway, every two seconds by default, with the rules of `deploy/alerts.yaml`."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.support.binaries import program
from tests.support.ports import Port
from tests.support.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"


class Prometheus:
    """`async with Prometheus(gateway.url) as prometheus: await prometheus.query("up")`."""

    def __init__(self, target_url: str, scrape_ms: int = 2000) -> None:
        self._program = program("prometheus")
        self._target = target_url.removeprefix("http://")
        self._scrape_ms = scrape_ms
        self._port = Port()
        self._folder = Path(tempfile.mkdtemp(prefix="prom-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        configuration = {
            "global": {
                "scrape_interval": f"{self._scrape_ms}ms",
                "scrape_timeout": f"{self._scrape_ms}ms",
                "evaluation_interval": "1s",
            },
            "rule_files": [str(DEPLOY / "alerts.yaml")],
            "scrape_configs": [{"job_name": "gateway", "static_configs": [{"targets": [self._target]}]}],
        }
        file = self._folder / "prometheus.yaml"
        file.write_text(json.dumps(configuration))  # JSON is YAML
        self._process = subprocess.Popen(
            [
                self._program, f"--config.file={file}", f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port.number}", "--log.level=error",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self._http = aiohttp.ClientSession(f"http://127.0.0.1:{self._port.number}")
        await until(self._is_ready, 30, "Prometheus is ready")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._port.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _is_ready(self) -> bool:
        assert self._http is not None
        try:
            async with self._http.get("/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now; fails for one that Prometheus refuses."""
        assert self._http is not None
        async with self._http.post("/api/v1/query", data={"query": expression}) as answer:
            told = await answer.json()
        assert told["status"] == "success", (expression, told)
        found: list[dict[str, Any]] = told["data"]["result"]
        return found

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {each["metric"]["alertname"] for each in await self.query('ALERTS{alertstate="firing"}')}
