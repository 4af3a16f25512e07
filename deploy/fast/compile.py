"""Compiles the hot modules, and the C extension: run in a folder with a copy of the package and of the C sources."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from pathlib import Path

MODULES = (
    "access/connection_limits", "access/rates", "chat/answers", "chat/handlers", "chat/sending", "chat/session",
    "client_events", "event_fields", "keys", "protocol", "redis/connection", "redis/subscriber_connection",
    "rooms/batch", "rooms/echoes", "rooms/fanout", "rooms/hub", "rooms/loss_detector", "rooms/member",
    "rooms/outgoing", "rooms/payloads", "rooms/publish_commands", "rooms/publisher", "rooms/room",
    "rooms/send_directly", "rooms/traced_publisher", "transport/codec", "transport/connection",
    "transport/frame_writer", "transport/upgrade", "websocket/close_codes", "websocket/frames",
    "websocket/unfinished",
)  # fmt: skip
"""The way of a message. What is left out on purpose: metrics (mypyc would make floats of whole numbers), the session of
the transport (its base is python-engineio's, and without slots it would need more memory), and what the gunicorn master
loads."""

SETTINGS = """[mypy]
ignore_missing_imports = true
check_untyped_defs = true
python_version = 3.11
"""
"""The gate checks types, strictly; here they only have to be known. The libraries need not be installed."""


def missing() -> str:
    """What this machine lacks, in one sentence, before pages of a compiler's output say it; empty if nothing."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(command) is None:
        return f"there is no C compiler {command!r} (Debian: apt-get install gcc libc6-dev)"
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not headers.exists():
        return f"Python's headers are missing, {headers} (Debian: apt-get install python3-dev)"
    return ""


def compile_all() -> None:
    """Puts the libraries into the folder `built`."""
    from mypyc.build import mypycify
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    Path("fast.ini").write_text(SETTINGS)
    sources = [f"gateway/{module}.py" for module in MODULES]
    compiled = mypycify(
        ["--config-file=fast.ini", *sources], opt_level="3", debug_level="0", group_name="gateway"
    )
    send = Extension("gateway.rooms._send", ["send.c"], extra_compile_args=["-O3", "-Wall"])
    command = build_ext(Distribution({"name": "gateway", "ext_modules": [*compiled, send]}))
    command.build_lib, command.build_temp, command.parallel = "built", "objects", os.cpu_count()
    command.finalize_options()
    command.run()


if __name__ == "__main__":
    if lacks := missing():
        raise SystemExit(f"The fast build compiles C: {lacks}. Or build without GATEWAY_FAST.")
    compile_all()
