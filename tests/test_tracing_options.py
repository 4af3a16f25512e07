"""Whether there are traces: nothing of OpenTelemetry is loaded while they are off, and without it they are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.option_types import SettingsError
from gateway.server.tracing_lines import tracing_lines
from gateway.settings import Settings
from gateway.tracing_options import TracingOptions

WITHOUT = """
import importlib.metadata
version = importlib.metadata.version
def missing(name):
    if name.startswith("opentelemetry"):
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = missing
"""
"""A Python in which the extra is not installed."""

SENTENCE = (
    "Error: GATEWAY_OTEL=on needs OpenTelemetry, which is not installed: install the gateway with its extra, as in "
    "pip install 'chat-gateway[otel]', or set GATEWAY_OTEL=off"
)


def test_off_is_the_default_and_needs_nothing_of_opentelemetry() -> None:
    """redis-py looks whether it is installed, so here it is not."""
    code = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from gateway.server.app import build_app\n"
        "from gateway.settings import Settings\n"
        "build_app(Settings.from_environment({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1'}))\n"
        "known = ('opentelemetry', 'trace_export')\n"
        "print([name for name in sys.modules for each in known if each in name])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "['opentelemetry']\n", ran.stderr


@pytest.mark.parametrize("command", ["serve", "check"])
def test_without_the_extra_it_is_refused_in_one_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "GATEWAY_OTEL": "on",
        "REDIS_URL": "redis://127.0.0.1:1",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "gateway", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode != 0
    assert ran.stderr.strip() == SENTENCE


def test_on_is_said_by_its_own_variable_alone() -> None:
    assert Settings.from_environment({"GATEWAY_OTEL": "on"}).tracing.is_on
    assert not Settings.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}).tracing.is_on
    with pytest.raises(SettingsError, match="GATEWAY_OTEL='yes' is not allowed: one of on, off"):
        Settings.from_environment({"GATEWAY_OTEL": "yes"})


def test_a_check_says_what_is_traced_and_never_where_it_goes() -> None:
    assert list(tracing_lines(TracingOptions())) == []
    said = "of calls of the server API{}, to where OTEL_EXPORTER_OTLP_ENDPOINT says"
    assert list(tracing_lines(TracingOptions(otel="on"))) == [
        ("traces", said.format(", and one of 1,000 sends"))
    ]
    assert list(tracing_lines(TracingOptions(otel="on", sends_one_in=0))) == [("traces", said.format(""))]
