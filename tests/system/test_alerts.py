"""The rules of `deploy/alerts.yaml` and the board of `deploy/grafana.json`, judged by Prometheus itself.

Each alert fires in the fault that it names, and none in an hour without one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from gateway import metrics
from gateway.metric_kinds import Histogram
from tests.support.binaries import program
from tests.support.clients import Member
from tests.support.gateways import Gateway
from tests.support.opener import Opener
from tests.support.prometheus import DEPLOY, Prometheus
from tests.support.servers import Valkey
from tests.support.waiting import until

ALERTS = re.findall(r"^      - alert: (\w+)$", (DEPLOY / "alerts.yaml").read_text(), re.MULTILINE)
WORKER = 'job="gateway",instance="host:8006",worker="0"'
HOUR = "x240"
"""An hour of one sample every 15 s, in the notation of promtool."""


def histogram(metric: Histogram, takes_s: float) -> dict[str, str]:
    """Ten more of `takes_s` with every sample."""
    (_, buckets, _), *_ = metric.histograms()
    return {
        f'{metric.name}_bucket{{{WORKER},le="{bound}"}}': f"0+{10 if takes_s <= float(bound) else 0}{HOUR}"
        for bound, _ in buckets
    }


def clean() -> dict[str, str]:
    """The series of an hour in which nothing is wrong, with a reload in it."""
    return {
        'up{job="gateway",instance="host:8006"}': f"1+0{HOUR}",
        f"gateway_worker_up{{{WORKER}}}": f"1+0{HOUR}",
        f"gateway_ready{{{WORKER}}}": f"1+0{HOUR}",
        f"gateway_drain_state{{{WORKER}}}": f"0+0{HOUR}",
        f"gateway_deaf_total{{{WORKER}}}": f"0+0{HOUR}",
        f'gateway_gaps_total{{{WORKER},cause="lost"}}': f"0+0{HOUR}",
        f'gateway_gaps_total{{{WORKER},cause="trimmed"}}': f"0+0{HOUR}",
        f"gateway_published_total{{{WORKER}}}": f"0+100{HOUR}",
        f"gateway_unavailable_total{{{WORKER}}}": f"0+0{HOUR}",
        f"process_open_fds{{{WORKER}}}": f"500+0{HOUR}",
        f"process_max_fds{{{WORKER}}}": f"1000+0{HOUR}",
        f"gateway_behind_members{{{WORKER}}}": f"1+0{HOUR}",
        f"gateway_memberships{{{WORKER}}}": f"1000+0{HOUR}",
        f'gateway_sessions{{{WORKER},identity="guest"}}': f"1000+0{HOUR}",
        f"gateway_jwks_age_seconds{{{WORKER}}}": f"300+0{HOUR}",
        f'gateway_webhook_oldest_seconds{{{WORKER},webhook="crm"}}': f"2+0{HOUR}",
        f'gateway_disconnects_total{{{WORKER},reason="client_disconnect"}}': f"0+100{HOUR}",
        f'gateway_disconnects_total{{{WORKER},reason="transport_close"}}': f"0+2{HOUR}",
        **histogram(metrics.publish_seconds, 0.004),
        **histogram(metrics.echo_seconds, 0.008),
        **histogram(metrics.loop_lag_seconds, 0.002),
    }


FAULTS: dict[str, dict[str, str]] = {
    "GatewayDown": {'up{job="gateway",instance="host:8006"}': f"0+0{HOUR}"},
    "GatewayWorkerDown": {f"gateway_worker_up{{{WORKER}}}": f"0+0{HOUR}"},
    "GatewayNotReady": {f"gateway_ready{{{WORKER}}}": f"0+0{HOUR}"},
    "GatewayDeaf": {f"gateway_deaf_total{{{WORKER}}}": "0x100 1x140"},
    "GatewayGaps": {f'gateway_gaps_total{{{WORKER},cause="lost"}}': "0x100 40x140"},
    "GatewayUnavailable": {f"gateway_unavailable_total{{{WORKER}}}": f"0+1{HOUR}"},
    "GatewayPublishSlow": histogram(metrics.publish_seconds, 0.4),
    "GatewayEchoSlow": histogram(metrics.echo_seconds, 0.9),
    "GatewayLoopLag": histogram(metrics.loop_lag_seconds, 0.3),
    "GatewayDescriptors": {f"process_open_fds{{{WORKER}}}": f"900+0{HOUR}"},
    "GatewayMembersBehind": {f"gateway_behind_members{{{WORKER}}}": f"20+0{HOUR}"},
    "GatewayKeysOld": {f"gateway_jwks_age_seconds{{{WORKER}}}": f"0+15{'x480'}"},
    "GatewayWebhookBehind": {f'gateway_webhook_oldest_seconds{{{WORKER},webhook="crm"}}': f"0+15{HOUR}"},
    "GatewayReconnects": {f'gateway_disconnects_total{{{WORKER},reason="transport_close"}}': f"0+20{HOUR}"},
}
"""The series of each alert's fault, in place of those of a clean hour."""


def judged(tmp_path: Path, *cases: tuple[dict[str, str], str, list[str]]) -> None:
    """Fails unless, with each of these series, exactly these alerts fire at that time."""
    test = {
        "rule_files": [str(DEPLOY / "alerts.yaml")],
        "evaluation_interval": "15s",
        "tests": [_case(*case) for case in cases],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps(test))  # JSON is YAML
    promtool("test", "rules", str(file))


def _case(series: dict[str, str], at: str, firing: list[str]) -> dict[str, object]:
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing]
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": at, "exp_samples": expected}],
    }


def promtool(*arguments: str) -> None:
    """Runs it in the folder of the rules; fails with what it says."""
    command = [program("promtool"), *arguments]
    ran = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_fault_here() -> None:
    assert sorted(FAULTS) == sorted(ALERTS)


def test_each_alert_fires_in_its_fault_and_no_other_does(tmp_path: Path) -> None:
    twice = {name: values.replace(HOUR, "x480") for name, values in clean().items()}
    judged(
        tmp_path,
        *(
            ({**twice, **fault}, "75m", [alert])
            if alert == "GatewayKeysOld"
            else ({**clean(), **fault}, "30m", [alert])
            for alert, fault in FAULTS.items()
        ),
    )


def test_no_alert_fires_in_a_clean_hour_nor_by_a_reload(tmp_path: Path) -> None:
    draining = {
        f"gateway_drain_state{{{WORKER}}}": "0x100 1x3 0x137",
        f"gateway_ready{{{WORKER}}}": "1x100 0x3 1x137",
        f'gateway_disconnects_total{{{WORKER},reason="transport_close"}}': "0x100 500x140",
    }
    judged(
        tmp_path,
        *((clean(), at, []) for at in ("5m", "30m", "60m")),
        *(({**clean(), **draining}, at, []) for at in ("26m", "29m", "32m")),
    )


def test_the_example_of_a_scrape_is_taken_by_prometheus() -> None:
    promtool("check", "config", "prometheus.yaml")
    promtool("check", "rules", "alerts.yaml")


# -- the board


def board() -> dict[str, Any]:
    """The board, as Grafana reads it."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text())
    return found


def expressions() -> list[tuple[str, str]]:
    """Every query of the board, with the title of its panel, as Grafana puts it."""
    chosen = {"$job": "gateway", "$instance": ".*", "$quantile": "0.99", "$__rate_interval": "15s"}
    found = []
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in chosen.items():
                expression = expression.replace(name, value)
            found.append((panel["title"], expression))
    return found


def test_the_board_has_six_rows_and_asks_only_for_metrics_that_there_are() -> None:
    rows = [panel["title"] for panel in board()["panels"] if panel["type"] == "row"]
    assert rows == ["State", "Traffic", "Latency", "Recovery", "Abuse", "Store"]
    names = {metric.name for metric in metrics.ALL}
    rules = (DEPLOY / "alerts.yaml").read_text()
    for text in (
        *(expression for _, expression in expressions()),
        *re.findall(r"^ {10}(\S.*)$", rules, re.MULTILINE),
    ):
        for name in re.findall(r"\bgateway_[a-z_]+", text):
            assert name in names or name.removesuffix("_bucket") in names, name


@asynccontextmanager
async def valkey() -> AsyncIterator[Valkey]:
    """A store that a test may break."""
    store = Valkey()
    await store.start()
    try:
        yield store
    finally:
        store.close()


async def talk(members: list[Member], room: str, for_s: float) -> None:
    """Members talk to each other."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + for_s
    while loop.time() < until_s:
        for member in members:
            await member.send(room, "hello")
        await asyncio.sleep(0.02)


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_each_query_of_the_board_has_data_after_some_traffic(
    redis_url: str, connect: Opener, room: str
) -> None:
    async with Gateway(redis_url, workers=2) as gateway, Prometheus(gateway.url) as prometheus:
        members = [await connect(gateway.url) for _ in range(4)]
        for number, member in enumerate(members):
            await member.join(f"person {number}", room)
        await talk(members, room, 15)
        empty = [title for title, each in expressions() if not await prometheus.query(each)]
        assert not empty
        assert not await prometheus.firing()
    print(f"{len(expressions())} queries, all with data")


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_worker_that_stands_still_fires_after_a_minute(redis_url: str) -> None:
    patient = (
        "--timeout",
        "300",
    )  # else gunicorn ends a worker that stands still after 30 s, and starts another
    async with (
        Gateway(redis_url, workers=2, arguments=patient) as gateway,
        Prometheus(gateway.url) as prometheus,
    ):
        await until(lambda: _has(prometheus, "gateway_worker_up == 1"), 20, "it is scraped")
        pid = gateway.worker_pids()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            await until(lambda: _fires(prometheus, "GatewayWorkerDown", "GatewayDown"), 200, "it fires")
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_store_that_stands_still_fires_deaf_and_not_ready(connect: Opener, room: str) -> None:
    async with valkey() as store:
        async with Gateway(store.url, workers=2) as gateway, Prometheus(gateway.url) as prometheus:
            member = await connect(gateway.url)
            await member.join("ada", room)
            await talk([member], room, 5)
            store.freeze()
            wanted = {"GatewayNotReady", "GatewayDeaf"}
            try:
                await until(lambda: _all_fire(prometheus, wanted), 240, "they fire")
            finally:
                store.thaw()


@pytest.mark.long
async def test_a_store_that_forgets_fires_gaps(connect: Opener, room: str) -> None:
    async with valkey() as store:
        async with Gateway(store.url, workers=2) as gateway, Prometheus(gateway.url) as prometheus:
            member = await connect(gateway.url)
            await member.join("ada", room)
            await until(lambda: _has(prometheus, "sum(gateway_gaps_total) == 0"), 20, "it is scraped")
            await talk([member], room, 5)
            async with redis.asyncio.Redis.from_url(store.url) as hand:
                await hand.delete(f"chat_history_{room}", f"{{chat_history_{room}}}:meta")
            await talk([member], room, 5)
            await until(lambda: _fires(prometheus, "GatewayGaps"), 60, "it fires")
            assert member.errors[0]["code"] == "gap"


async def _has(prometheus: Prometheus, expression: str) -> bool:
    return bool(await prometheus.query(expression))


async def _fires(prometheus: Prometheus, *alerts: str) -> bool:
    return bool(await prometheus.firing() & set(alerts))


async def _all_fire(prometheus: Prometheus, alerts: set[str]) -> bool:
    return alerts <= await prometheus.firing()
