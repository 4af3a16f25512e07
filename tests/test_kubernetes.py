"""`deploy/kubernetes/`: what kustomize makes of it fits the published schemas, its own parts, and the gateway."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from gateway.settings import Settings
from gateway.web.page import serve_chat_js, serve_page
from tests.support.binaries import missing, program

FOLDER = Path(__file__).resolve().parents[1] / "deploy/kubernetes"
OVERLAYS = ("base", "overlays/two", "overlays/growing", "overlays/page")
VERSIONS = ("1.29", "1.37")
NAME = {"app.kubernetes.io/name": "chat-gateway"}
GIVES_UP_AFTER_S = 10
"""How long after the drain gunicorn waits for a worker (docs/operations.md)."""
Thing = dict[str, Any]


@cache
def built(overlay: str) -> tuple[Thing, ...]:
    """All that kustomize makes of a folder."""
    ran = subprocess.run(
        [program("kubectl"), "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return tuple(yaml.safe_load_all(ran.stdout))


def the(kind: str, overlay: str = "base", name: str = "chat-gateway") -> Thing:
    """The one of that kind and name."""
    (found,) = (
        each for each in built(overlay) if each["kind"] == kind and each["metadata"]["name"].startswith(name)
    )
    return found


def pod(overlay: str = "base") -> Thing:
    """What each pod is made by."""
    template: Thing = the("Deployment", overlay)["spec"]["template"]
    return template


def container() -> Thing:
    """The gateway in it."""
    (found,) = pod()["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def check(thing: Mapping[str, Any], version: str) -> None:
    """Raises if the published schema of that version of Kubernetes does not allow it, unknown fields included."""
    try:
        import kubernetes_validate
    except ImportError:
        missing("kubernetes-validate comes with the group `deploy`")
    kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_of_it_fits_the_published_schemas(overlay: str, version: str) -> None:
    for thing in built(overlay):
        check(thing, version)


def test_a_field_that_does_not_exist_is_found() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(the("Deployment")))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 45
    with pytest.raises(Exception, match="terminationGracePeriod"):
        check(wrong, VERSIONS[-1])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_option_in_it_is_one_of_the_gateways(overlay: str) -> None:
    options = the("ConfigMap", overlay)["data"]
    settings = Settings.from_environment({**options, "REDIS_URL": "redis://valkey:6379/0"})
    (listening,) = (port for port in container()["ports"] if port["name"] == "api")
    assert settings.api.address is not None
    assert settings.api.address.port == listening["containerPort"]
    assert settings.server.port == 8006


def test_a_pod_is_given_the_time_that_its_drain_takes() -> None:
    drain_s = float(the("ConfigMap")["data"]["GATEWAY_DRAIN_S"])
    _, before_s = container()["lifecycle"]["preStop"]["exec"]["command"]
    assert pod()["spec"]["terminationGracePeriodSeconds"] >= float(before_s) + drain_s + GIVES_UP_AFTER_S


def test_a_pod_that_waits_for_redis_is_not_ready_and_is_not_restarted() -> None:
    paths = {
        kind: container()[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert container()["readinessProbe"]["failureThreshold"] >= 3


def test_a_pod_is_not_root_and_writes_nowhere_but_into_memory() -> None:
    assert pod()["spec"]["securityContext"]["runAsNonRoot"] is True
    assert (
        f"USER {pod()['spec']['securityContext']['runAsUser']}:" in (FOLDER.parent / "Dockerfile").read_text()
    )
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert all(volume["emptyDir"]["medium"] == "Memory" for volume in pod()["spec"]["volumes"])
    assert not pod()["spec"]["automountServiceAccountToken"]


def test_everything_selects_the_pods_of_the_gateway_and_no_others() -> None:
    assert pod()["metadata"]["labels"] == NAME
    assert the("Deployment")["spec"]["selector"] == {"matchLabels": NAME}
    assert the("PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": NAME}
    assert the("NetworkPolicy")["spec"]["podSelector"] == {"matchLabels": NAME}
    services = [each for each in built("base") if each["kind"] == "Service"]
    assert [each["spec"]["selector"] for each in services] == [NAME, NAME]


def test_ports_are_named_as_the_container_names_them() -> None:
    names = {port["name"] for port in container()["ports"]}
    targets = {
        port["targetPort"]
        for each in built("base")
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    }
    opened = [port["port"] for rule in the("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    assert targets == names == set(opened)


def test_outside_is_let_to_the_clients_paths_only_and_the_api_to_pods_with_the_label() -> None:
    paths = [
        path for rule in the("Ingress", "overlays/two")["spec"]["rules"] for path in rule["http"]["paths"]
    ]
    assert [path["path"] for path in paths] == ["/socket.io"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in the("NetworkPolicy")["spec"]["ingress"]}
    assert by_port["api"] == [{"podSelector": {"matchLabels": {"chat-gateway-api": "allowed"}}}]
    assert the("ConfigMap")["data"]["GATEWAY_API_LISTEN"], "or the API were at the clients' port, too"


def is_let_in(path: str, overlay: str) -> bool:
    """Whether the Ingress passes a path on, by the rules of Kubernetes: whole, or by its first elements."""
    for rule in the("Ingress", overlay)["spec"]["rules"]:
        for each in rule["http"]["paths"]:
            begins = f"{path}/".startswith(f"{each['path'].rstrip('/')}/")
            if path == each["path"] or (each["pathType"] == "Prefix" and begins):
                return True
    return False


INSIDE = (
    "/metrics",
    "/api",
    "/api/v1/publish",
    "/admin",
    "/admin/rooms",
    "/readyz",
    "/healthz",
    "/pages",
    "/chat.js.map",
)


def test_with_the_page_its_files_are_let_in_and_nothing_else_is() -> None:
    app = web.Application()
    serve_chat_js(app, "")
    serve_page(app, "", "/socket.io", "required")
    served = {resource.canonical for resource in app.router.resources()}
    assert {"/", "/chat.js"} < served
    assert [path for path in (*served, "/socket.io/") if not is_let_in(path, "overlays/page")] == []
    assert [path for path in served if is_let_in(path, "overlays/two")] == []
    assert [path for path in INSIDE if is_let_in(path, "overlays/page")] == []
    assert Settings.from_environment(the("ConfigMap", "overlays/page")["data"]).page.page == "on"


def test_valkey_is_named_by_a_secret() -> None:
    (redis,) = (each for each in container()["env"] if each["name"] == "REDIS_URL")
    assert redis["valueFrom"] == {"secretKeyRef": {"name": "chat-gateway", "key": "redis-url"}}
    assert not [each for each in built("overlays/two") if each["kind"] in ("Secret", "StatefulSet")]


def test_one_overlay_has_two_gateways_and_in_the_other_an_autoscaler_decides() -> None:
    assert the("Deployment", "overlays/two")["spec"]["replicas"] == 2
    assert "replicas" not in the("Deployment", "overlays/growing")["spec"]
    scaler = the("HorizontalPodAutoscaler", "overlays/growing")["spec"]
    assert scaler["scaleTargetRef"]["name"] == the("Deployment")["metadata"]["name"]
    (metric,) = scaler["metrics"]
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"] == "gateway_connections"
    assert scaler["minReplicas"] >= 2


def test_prometheus_finds_the_pods_by_their_label_and_the_name_of_their_port() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus-scrape.yaml").read_text())
    keep, *given = job["relabel_configs"]
    (label,) = NAME
    asked = f"__meta_kubernetes_pod_label_{re.sub('[^a-z]', '_', label)}"
    assert keep["source_labels"] == [asked, "__meta_kubernetes_pod_container_port_name"]
    assert re.fullmatch(keep["regex"], f"{NAME[label]};{container()['ports'][0]['name']}")
    assert job["job_name"] == "gateway"
    assert {each["target_label"] for each in given} == {"namespace", "pod"}, "the adapter asks by them"


def test_every_file_is_used(tmp_path: Path) -> None:
    named = {"prometheus-adapter.yaml", "prometheus-scrape.yaml"}
    for file in FOLDER.rglob("kustomization.yaml"):
        found = yaml.safe_load(file.read_text())
        patches = [patch["path"] for patch in found.get("patches", ()) if "path" in patch]
        for each in (*found.get("resources", ()), *found.get("components", ()), *patches):
            target = Path(os.path.normpath(file.parent / each))
            assert target.exists(), target
            named.add(target.name)
    assert {file.name for file in FOLDER.rglob("*.*")} <= named | {"kustomization.yaml"}
