"""What the person who started the gateway reads first.

Owns three texts. The master says at once where it listens and where rooms are kept, because both are true then. What to
try next is left in the workers' folder; the first worker that is ready takes it and says it, for all. So nobody is told
to try what does not work yet. On a terminal that is the last thing on the screen (`last_words.py`). A gateway that is
open to the world says that, too. Never shows a password.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from gateway.identity_options import is_configured
from gateway.option_groups import ServerOptions
from gateway.redis_url import PORT, read_redis_url
from gateway.server.development_secret import NAME as SECRETS
from gateway.server.embedded_folder import state_folder
from gateway.settings import Settings

FILE = "greeting"
"""In the workers' folder."""
WORKERS = "greeting-workers"
"""How many workers there are to be; beside it."""
CHECK = "`gateway check` tells what it sees of Redis and of the workers."
LISTENING_WITHIN_S = 0.2
"""Longest wait for a Redis of this machine to accept."""


def listening(addresses: list[str], worker_count: int, settings: Settings) -> str:
    """What is true before any worker has reached Redis."""
    workers = "1 worker" if worker_count == 1 else f"{worker_count} workers"
    listens = f"The chat gateway listens at {', '.join(addresses)} ({workers}). Ctrl-C stops it."
    return "\n".join((listens, *_api(settings), _store(settings), *_tokens(settings)))


def _api(settings: Settings) -> list[str]:
    """Where the server API is, if it has an address of its own."""
    own = settings.api.listen
    return [f"The server API listens at {own}."] if own is not None else []


def _tokens(settings: Settings) -> list[str]:
    """Where tokens count and no keys are named, by which secret they are signed."""
    if settings.identity.auth == "off" or is_configured(settings.identity):
        return []
    file = state_folder(settings.embedded.state_dir) / SECRETS
    return [
        f"Tokens are signed by a development secret, in {file}. To make one:\n"
        "  gateway token new --sub ada --name Ada --ttl 1h"
    ]


def _store(settings: Settings) -> str:
    """Where the rooms are kept, and how to have them elsewhere."""
    if settings.redis.url is not None:
        return f"Rooms are kept in Redis: {read_redis_url(settings.redis.url).place}."
    folder = state_folder(settings.embedded.state_dir)
    kept = f"Rooms are kept in an embedded Valkey, with its data in {folder}."
    if is_listening(PORT):
        return (
            f"{kept}\nThe Redis at 127.0.0.1:{PORT} is NOT used, because REDIS_URL is not set. To use it:\n"
            f"  gateway --redis redis://127.0.0.1:{PORT}/0"
        )
    return f"{kept}\nTo use a Redis of your own: gateway --redis redis://HOST:{PORT}/0"


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections on that port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), LISTENING_WITHIN_S):
            return True
    except OSError:
        return False


def open_to_the_world(hosts: Iterable[str], settings: Settings) -> str | None:
    """What is to be said of a gateway that lets in everybody who reaches it, and scripts of every page, at an address
    that others than this machine and its private network may reach; None if it is not such a one."""
    is_anybody_let_in = settings.identity.auth == "off" and "*" in settings.engine.origins
    if not is_anybody_let_in or not any(map(_is_public, hosts)):
        return None
    return (
        "Open to the world: whoever reaches this gateway may join any room under any name, and so may scripts of every "
        "page (GATEWAY_AUTH=off, GATEWAY_ORIGINS=*). To let in this machine only: gateway --host 127.0.0.1"
    )


def host_of(address: str) -> str:
    """The host of an address as gunicorn writes it."""
    return urlsplit(address).hostname or ""


def _is_public(host: str) -> bool:
    """A name may stand for any address, but for this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host not in ("", "localhost")
    return address.is_unspecified or not (address.is_private or address.is_loopback or address.is_link_local)


def shown(address: str, is_tls: bool = False) -> str:
    """An address as gunicorn writes it, in the form that a browser of this machine can open."""
    if is_tls:
        address = address.replace("http://", "https://")  # gunicorn forgets that for IPv6
    return address.replace("//0.0.0.0:", "//localhost:").replace("//[::]:", "//localhost:")


def is_coloured() -> bool:
    """Whether what is said goes to a terminal that shows colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def on_a_terminal(addresses: list[str], paths: ServerOptions, has_page: bool) -> str:
    """What stands last on the screen of who started it by hand."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if is_coloured() else ("", "")
    green = "\x1b[32m" if is_coloured() else ""
    at = _browsers(addresses) + paths.path_prefix
    what = (
        "Open it in two windows, and chat." if has_page else "No page is served there; clients connect to it."
    )
    return "\n".join(
        (
            "",
            f"  {green}Ready:{plain} {bold}{at}/{plain}",
            f"  {what}",
            "",
            "  gateway check      is Redis fit? do workers live?",
            "  gateway top        what all workers do now",
            "  gateway --help     all else",
            "",
            "  Ctrl-C stops it.",
            "",
        )
    )


def _browsers(addresses: list[str]) -> str:
    return next((address for address in addresses if address.startswith("http")), "http://localhost:8006")


def to_try(addresses: list[str], paths: ServerOptions, has_page: bool = False) -> str:
    """What to try once a worker is ready, for who reads it in a file."""
    at = _browsers(addresses) + paths.path_prefix
    if has_page:
        return f"Ready. Try it: open {at}/ in two windows, and chat.\n{CHECK}"
    return "\n".join(
        (
            f"Ready. Try it: open {at}/healthz in a browser, press F12, and paste:",
            "  const cdn = 'https://cdn.socket.io/4.8.1/socket.io.esm.min.js';",
            "  const { io } = await import(cdn);",
            f"  const chat = io({{ path: '{paths.path_prefix}{paths.path}' }}); chat.onAny(console.log);",
            "  chat.emit('join', { username: 'me', room: 'lobby' });",
            "  chat.emit('send', { username: 'me', room: 'lobby', message: 'Hello' });",
            CHECK,
        )
    )


def leave(
    folder: str, addresses: list[str], paths: ServerOptions, worker_count: int = 1, has_page: bool = False
) -> None:
    """Leaves what to try for the first worker that is ready."""
    is_terminal = sys.stdout.isatty()
    text = on_a_terminal(addresses, paths, has_page) if is_terminal else to_try(addresses, paths, has_page)
    (Path(folder) / WORKERS).write_text(str(worker_count), encoding="utf-8")
    (Path(folder) / FILE).write_text(text, encoding="utf-8")


def tell(text: str) -> None:
    """Prints a text, if it can be printed: a gateway whose standard output is a full disk serves all the same."""
    try:
        print(text, flush=True)
    except OSError:
        pass  # nobody reads it, and the log says the same of Redis


def say(folder: str | None) -> None:
    """Prints what the master left, unless another worker has done so."""
    if folder is None:
        return
    left, mine = Path(folder) / FILE, Path(folder) / f"{FILE}-said"
    try:
        left.rename(mine)
    except FileNotFoundError:
        return
    tell(mine.read_text(encoding="utf-8"))
    mine.unlink()
    (Path(folder) / WORKERS).unlink(missing_ok=True)
