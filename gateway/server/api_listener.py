"""A port of the server API's own (`GATEWAY_API_LISTEN`), which the master binds as it binds the clients' port.

All workers inherit it, so a reload and a second master (USR2) keep it open, and a drain serves it to its end. gunicorn
takes addresses from its configuration, where the command line (`--bind`) wins; so the address is added whenever that
has been read. Runs in the master.
"""

from __future__ import annotations

import os
from typing import Any

from gateway.api_options import UNIX
from gateway.option_types import SettingsError


def add(server: Any, listen: str | None) -> None:
    """Makes the master listen there, too; from now on, whatever is reloaded. Raises SettingsError where that cannot
    work."""
    if listen is None:
        return
    _refuse_what_cannot_work(server.cfg, listen)
    usual = server.setup

    def setup(app: Any) -> None:
        usual(app)
        _add_to(server, listen)

    server.setup = setup
    _add_to(server, listen)


def _add_to(server: Any, listen: str) -> None:
    if listen not in server.cfg.bind:
        server.cfg.set("bind", [*server.cfg.bind, listen])
        server.address = server.cfg.address


def _refuse_what_cannot_work(cfg: Any, listen: str) -> None:
    if os.environ.get("LISTEN_FDS") and os.environ.get("LISTEN_PID") == str(os.getpid()):
        raise SettingsError(
            "GATEWAY_API_LISTEN is not allowed with sockets of systemd: gunicorn listens to those alone"
        )
    if cfg.reuse_port:
        raise SettingsError(
            "GATEWAY_API_LISTEN is not allowed with --reuse-port: the workers share one socket"
        )
    if listen in cfg.bind:
        raise SettingsError(f"GATEWAY_API_LISTEN={listen!r} is an address of the clients, too (--bind)")


def is_api(listener: Any, listen: str | None) -> bool:
    """Whether one of gunicorn's listeners is the API's."""
    if listen is None:
        return False
    if listen.startswith(UNIX):
        return str(listener) == listen
    return bool(listener.getsockname()[1] == int(listen.rpartition(":")[2]))
