"""`deploy/`: the compose file, the image and the unit fit their formats, and give a gateway the time that it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import Settings
from tests.support.binaries import missing, program

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
UNIT = (DEPLOY / "gateway.service").read_text()
OUTSIDE = ("haproxy", "prometheus", "grafana")
AFTER_THE_DRAIN_S = 10
EXPOSURE_AT_MOST = 2.0
"""What systemd-analyze says of the unit, from 0 (locked up) to 10."""


def composed(text: str = COMPOSE) -> dict[str, Any]:
    """The compose file as the Compose Specification reads it. Raises ValueError."""
    try:
        import compose_spec
    except ImportError:
        missing("compose-spec comes with the group `deploy`")
    found = compose_spec.PyOptions(apply_merge=True).from_yaml(text)
    found.validate()
    told: dict[str, Any] = found.to_dict()
    return told


def test_the_compose_file_fits_the_specification() -> None:
    assert set(composed()["services"]) == {"gateway-1", "gateway-2", "valkey", *OUTSIDE}


@pytest.mark.parametrize(
    ("right", "wrong"), [("read_only:", "readonly:"), ("networks: [inside]", "networks: [x]")]
)
def test_a_mistake_in_the_compose_file_is_found(right: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=r"readonly|`x`"):
        composed(COMPOSE.replace(right, wrong))


def test_gateways_in_containers_have_options_that_exist_and_time_to_drain() -> None:
    for name in ("gateway-1", "gateway-2"):
        service = composed()["services"][name]
        settings = Settings.from_environment(service["environment"])
        assert float(service["stop_grace_period"].rstrip("s")) > settings.server.drain_s + AFTER_THE_DRAIN_S
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_only_what_is_meant_for_others_has_a_port_and_the_view_is_for_this_machine() -> None:
    services = composed()["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "haproxy": ["8080:8080"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert {name for name, service in services.items() if "outside" in service["networks"]} == set(OUTSIDE)


def test_prometheus_reads_both_gateways_and_the_alerts_beside_it() -> None:
    read = yaml.safe_load(composed()["configs"]["prometheus"]["content"])
    (job,) = read["scrape_configs"]
    assert job["job_name"] == "gateway", "the alerts and the board ask for it by that name"
    targets = [target for each in job["static_configs"] for target in each["targets"]]
    services = [name for name in composed()["services"] if name.startswith("gateway-")]
    assert targets == [f"{name}:{Settings.from_environment({}).server.port}" for name in services]
    (configured,) = composed()["services"]["prometheus"]["configs"]
    assert f"--config.file={configured['target']}" in composed()["services"]["prometheus"]["command"]
    (rules,) = read["rule_files"]
    folder = Path(configured["target"]).parent
    assert f"./{rules}:{folder}/{rules}:ro" in composed()["services"]["prometheus"]["volumes"]


def test_what_grafana_is_given_at_its_start_is_yaml_that_names_prometheus() -> None:
    configs = composed()["configs"]
    (source,) = yaml.safe_load(configs["grafana-prometheus"]["content"])["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load(configs["grafana-boards"]["content"])["providers"]
    mounted = [volume.split(":")[1] for volume in composed()["services"]["grafana"]["volumes"]]
    assert any(path.startswith(f"{provider['options']['path']}/") for path in mounted)


def test_files_that_containers_are_given_exist() -> None:
    bound = re.findall(r"- \./([a-z.-]+):", COMPOSE)
    assert set(bound) == {"haproxy.cfg", "alerts.yaml", "grafana.json"}
    absent = [file for file in bound if not (DEPLOY / file).exists()]
    if absent:
        pytest.skip(f"{', '.join(absent)} not written yet")


def test_the_image_is_not_root_and_asks_whether_it_lives_at_the_prefix() -> None:
    assert re.search(r"^USER 10006:10006$", DOCKERFILE, re.MULTILINE)
    (command,) = re.findall(r'CMD \["python", "-c", "(.*)"\]', DOCKERFILE)
    compile(command, "HEALTHCHECK", "exec")
    for prefix, path in (("", "/healthz"), ("/apps/chat", "/apps/chat/healthz"), ("chat/", "/chat/healthz")):
        code = command.replace("r.urlopen(", "print(").replace(", timeout=2", "")
        ran = subprocess.run(
            [sys.executable, "-c", code], env={"PORT": "8006", "GATEWAY_PATH_PREFIX": prefix},
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert ran.stdout == f"http://127.0.0.1:8006{path}\n"


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    analyze, unit = program("systemd-analyze"), tmp_path / "gateway.service"
    whole = re.sub(r"^#(?=[A-Z]\w+=)", "", UNIT, flags=re.MULTILINE)
    assert "\nLoadCredential=" in whole
    unit.write_text(whole.replace("/opt/chat-gateway/venv/bin/gunicorn", str(shutil.which("true"))))
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_AT_MOST * 10:.0f}", str(unit)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-300:]


def test_the_unit_gives_a_gateway_time_to_drain() -> None:
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert int(stop_s) > Settings.from_environment({}).server.drain_s + AFTER_THE_DRAIN_S


def test_prometheus_takes_what_it_is_given_in_containers_and_on_kubernetes(tmp_path: Path) -> None:
    (pods,) = yaml.safe_load((DEPLOY / "kubernetes/prometheus-scrape.yaml").read_text())
    assert pods.pop("kubernetes_sd_configs") == [{"role": "pod"}], "Debian's Prometheus does not know them"
    (tmp_path / "kubernetes.yaml").write_text(yaml.safe_dump({"scrape_configs": [pods]}))
    (tmp_path / "compose.yaml").write_text(composed()["configs"]["prometheus"]["content"])
    for file in ("kubernetes.yaml", "compose.yaml"):
        command = [program("promtool"), "check", "config", "--syntax-only", str(tmp_path / file)]
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stderr
