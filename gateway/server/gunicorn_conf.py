"""gunicorn's configuration: `gunicorn -c python:gateway.server.gunicorn_conf gateway.server.app:create_app`.

Owns what the master holds for all its workers: the embedded Valkey when no REDIS_URL is set, and the private folder of
the workers' Unix sockets.

- Both are made before the first worker, and handed to the workers by the environment.
- Both are undone after the last worker: by `on_exit`, or at the interpreter's end where gunicorn leaves without calling
  it (a port in use).
- Ctrl-C reaches the master and the workers at once, and not the embedded Valkey. The master waits for its workers and
  then stops Valkey.

Options on gunicorn's command line win over the ones here. Never serves anything itself.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from gateway.identity_options import is_configured
from gateway.option_groups import EmbeddedOptions
from gateway.option_types import SettingsError
from gateway.server import api_listener, config_copy, greeting, logs
from gateway.server.development_secret import development_secret
from gateway.server.embedded import EmbeddedValkey
from gateway.server.embedded_folder import EmbeddedError, state_folder, url_of
from gateway.server.refusals import WORKER_CLASS, refuse_what_cannot_work
from gateway.server.rollout import Rollout
from gateway.server.run_folder import remove_if_ours, run_folder
from gateway.server.start_check import refuse_bad_files
from gateway.settings import Settings, variable_of

# Until there is something to undo, Ctrl-C just ends the process; `gateway serve` has held it back for this moment.
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

_settings = Settings.from_environment()
logs.configure(_settings.log)
_log = logs.get_logger(__name__)
_held = ExitStack()
_embedded: list[EmbeddedValkey] = []  # the one that runs, if one does


def _address(host: str, port: int) -> str:
    host = host.removeprefix("[").removesuffix("]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


bind = [_address(_settings.server.host, _settings.server.port)]
workers = _settings.server.workers
worker_class = WORKER_CLASS
worker_tmp_dir = (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)  # heartbeats must never wait for a disk
timeout = 30
graceful_timeout = math.ceil(max(_settings.server.drain_s, _settings.server.drain_min_s) + 10)
keepalive = 75  # above the 60 s for which proxies keep idle connections, so that they close first
proc_name = "chat-gateway"
default_proc_name = proc_name
control_socket_disable = True  # it would leave a socket in the user's home folder
loglevel = _settings.log.level
logger_class = logs.GunicornLogger


def on_starting(server: Any) -> None:
    """Makes what the workers share. Ends the start with a plain sentence when that is not possible."""
    signal.signal(signal.SIGINT, _interrupt)
    atexit.register(_release, os.getpid(), server)
    try:
        refuse_what_cannot_work(server.cfg)
        api_listener.add(server, _settings.api.listen)
        Rollout(server).begin()
        settings = Settings.from_environment()
        folder = run_folder(settings.server.run_dir, server.cfg.uid, server.cfg.gid)
        _held.callback(remove_if_ours, folder)
        os.environ[variable_of("server.run_dir")] = str(folder)
        _held.callback(_copy().unlink, missing_ok=True)
        _take_config(server.cfg)
        if settings.redis.url is None:
            os.environ[variable_of("redis.url")] = _start_valkey(settings.embedded)
            _keep_valkey(server)
            _make_secret(settings)
        refuse_bad_files(Settings.from_environment())
        if _interrupts:
            raise KeyboardInterrupt
    except (EmbeddedError, SettingsError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


_interrupts: list[int] = []
"""Ctrl-C that came before the workers were started."""


def _interrupt(number: int, frame: Any) -> None:
    """Ctrl-C. It is noted, too: where it falls into a fork, Python prints what a fork's hooks raise, and goes on."""
    _interrupts.append(number)
    raise KeyboardInterrupt


def on_reload(server: Any) -> None:
    """HUP: reads the configuration file again. One that cannot be meant is refused, and the old rules go on."""
    try:
        _take_config(server.cfg)
    except SettingsError as error:
        _log.error("config_refused", why=str(error), now="the rules of before go on")


def _copy() -> Path:
    """The configuration file as this master's workers read it."""
    return config_copy.copy_for(os.environ[variable_of("server.run_dir")], os.getpid())


def _take_config(cfg: Any) -> None:
    """Copies the configuration file for the workers; they read it when they start."""
    file = Settings.from_environment().access.config_file
    if file is not None:
        config_copy.take(_copy(), cfg.uid, cfg.gid)
        _log.info("config_read", file=file)


def when_ready(server: Any) -> None:
    """Says where the gateway listens and keeps its rooms. What to try is left for the first worker that is
    ready: until then it would not work."""
    clients = [each for each in server.LISTENERS if not api_listener.is_api(each, _settings.api.listen)]
    addresses = [greeting.shown(str(listener), server.cfg.is_ssl) for listener in clients]
    greeting.tell(greeting.listening(addresses, server.num_workers, _settings))
    hosts = [greeting.host_of(str(listener)) for listener in clients]
    if (sentence := greeting.open_to_the_world(hosts, _settings)) is not None:
        greeting.tell(sentence)
        _log.warning("open_to_the_world", hosts=hosts, see="docs/security.md")
    folder = os.environ[variable_of("server.run_dir")]
    greeting.leave(folder, addresses, _settings.server, server.num_workers, _settings.has_page)


def post_fork(server: Any, worker: Any) -> None:
    """Lets a worker that has nothing to lose yet end by a signal.

    Until the worker has handlers of its own it has the master's, which put a signal into a queue: the worker's copy of
    that queue, which nobody reads. The master would wait for such a worker until its graceful timeout.
    """
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
    for each in ends:
        signal.signal(each, signal.SIG_DFL)
    while not server.SIG_QUEUE.empty():
        if server.SIG_QUEUE.get_nowait() in ends:
            sys.exit(0)


def pre_exec(server: Any) -> None:
    """USR2, in the fork that becomes the second master: it gets what the first one's workers share.

    - Its workers must find those of the first, or sessions that poll are lost between them.
    - gunicorn would start it by `gunicorn/__main__.py`, beside which lies a folder `http` that hides Python's own.
    - An embedded Valkey ends with its master: there is no second master without a REDIS_URL.
    """
    if _embedded:
        _log.error("second_master_refused", why="the embedded Valkey ends with the first: restart instead")
        os._exit(1)
    variable = variable_of("server.run_dir")
    server.cfg.env_orig[variable] = os.environ[variable]
    server.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]


def on_exit(server: Any) -> None:
    """Undoes `on_starting`; all workers have gone by now."""
    _release(os.getpid(), server)


def _release(master_pid: int, server: Any) -> None:
    """Undoes what is held, unless another master (USR2) still needs it. At the end of the interpreter, too: workers
    inherit that call and must not follow it."""
    if os.getpid() != master_pid:
        return
    if server.reexec_pid or server.master_pid == os.getppid():
        _held.pop_all()
    _held.close()


def _start_valkey(options: EmbeddedOptions) -> str:
    valkey = EmbeddedValkey.start(state_folder(options.state_dir), options.port, options.max_mib)
    _embedded.append(valkey)
    _held.callback(_stop_valkey, valkey)
    _log.info(
        "embedded_valkey_started",
        why="no REDIS_URL set",
        url=url_of(valkey.port, ""),
        keeps_its_data_in=str(valkey.folder),
        valkey_pid=valkey.pid,
    )
    return valkey.url


def _make_secret(settings: Settings) -> None:
    """Whoever tries tokens with the embedded Valkey needs no keys."""
    if settings.identity.auth != "off" and not is_configured(settings.identity):
        file = development_secret(state_folder(settings.embedded.state_dir))
        os.environ[variable_of("identity.secrets_file")] = str(file)


def _keep_valkey(server: Any) -> None:
    """Starts a Valkey that has died again: looked for whenever gunicorn looks for workers, that is after each child's
    end and every second. A thread would be in the way of the forks."""
    reap, manage = server.reap_workers, server.manage_workers

    def look_after(usual: Callable[[], None]) -> None:
        usual()
        for valkey in _embedded:
            valkey.keep()

    server.reap_workers = partial(look_after, reap)
    server.manage_workers = partial(look_after, manage)


def _stop_valkey(valkey: EmbeddedValkey) -> None:
    _embedded.clear()
    valkey.stop()
    _log.info("embedded_valkey_stopped", keeps_its_data_in=str(valkey.folder))
