"""The seams into the libraries, as the list in `transport/server.py` names them: here a moved one is noticed.

The table, the pins in pyproject.toml and what is installed must agree. What a seam must look like is written here
a second time on purpose: a new version of a library is taken by looking at each.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engineio
import pytest
import socketio
from aiohttp import web, web_protocol
from aiohttp.worker import GunicornWebWorker
from engineio import packet as engineio_packet
from engineio.async_socket import AsyncSocket
from socketio import packet as socketio_packet
from socketio.base_manager import BaseManager
from socketio.redis_manager import parse_redis_sentinel_url

from gateway.server.worker import GatewayWorker
from gateway.socketio.client_manager import ClientManager
from gateway.socketio.server import SocketServer
from gateway.socketio.strict import StrictPacket
from gateway.transport import server as engine
from gateway.transport.hijack import Hijacked
from gateway.transport.library_socket import LibrarySocket
from gateway.transport.server import EngineServer
from gateway.transport.socket import EngineSocket

TABLE = dict(re.findall(r"^    ([a-z-]+) +(\d+\.\d+\.\d+) ", engine.__doc__ or "", re.MULTILINE))
PYPROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())


def names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters."""
    return tuple(inspect.signature(function).parameters)


# -- versions


def test_the_list_names_the_libraries_that_are_reached_into() -> None:
    assert set(TABLE) == {"python-engineio", "python-socketio", "aiohttp"}


@pytest.mark.parametrize("library", sorted(TABLE))
def test_a_library_is_installed_in_the_minor_version_that_was_checked(library: str) -> None:
    assert importlib.metadata.version(library).split(".")[:2] == TABLE[library].split(".")[:2]


@pytest.mark.parametrize("library", [*sorted(TABLE), "gunicorn"])
def test_a_library_is_pinned_to_the_minor_version(library: str) -> None:
    (pin,) = [line for line in PYPROJECT["project"]["dependencies"] if re.match(rf"{library}\b", line)]
    minor = ".".join(importlib.metadata.version(library).split(".")[:2])
    assert re.fullmatch(rf"{library}~={re.escape(minor)}(\.\d+)?", pin), pin
    if library in TABLE:
        assert pin == f"{library}~={TABLE[library]}"


def test_the_list_says_where_each_seam_is_used() -> None:
    root = Path(engine.__file__).resolve().parents[1]
    named = set(
        re.findall(r"[a-z_/]+\.py", (engine.__doc__ or "").replace("tests/socketio/test_seams.py", ""))
    )
    for name in named:
        assert (root / name).is_file() or (root / "transport" / name).is_file(), name
    assert len(named) > 8


# -- what is called or replaced, with its parameters

SEAMS: list[tuple[Any, str, tuple[str, ...], bool]] = [
    (engineio.AsyncServer, "handle_request", ("self", "args", "kwargs"), True),
    (engineio.AsyncServer, "generate_id", ("self",), False),
    (engineio.AsyncServer, "_trigger_event", ("self", "event", "args", "kwargs"), True),
    (engineio.AsyncServer, "attach", ("self", "app", "engineio_path"), False),
    (AsyncSocket, "send", ("self", "pkt"), True),
    (AsyncSocket, "receive", ("self", "pkt"), True),
    (AsyncSocket, "close", ("self", "wait", "abort", "reason"), True),
    (AsyncSocket, "check_ping_timeout", ("self",), True),
    (engineio_packet.Packet, "encode", ("self", "b64"), False),
    (socketio.AsyncServer, "_engineio_server_class", ("self",), False),
    (socketio.AsyncServer, "_handle_eio_connect", ("self", "eio_sid", "environ"), True),
    (socketio.AsyncServer, "_handle_eio_disconnect", ("self", "eio_sid", "reason"), True),
    (socketio.AsyncServer, "_handle_eio_message", ("self", "eio_sid", "data"), True),
    (socketio.AsyncServer, "_handle_connect", ("self", "eio_sid", "namespace", "data"), True),
    (socketio.AsyncServer, "_handle_disconnect", ("self", "eio_sid", "namespace", "reason"), True),
    (socketio.AsyncServer, "_handle_event", ("self", "eio_sid", "namespace", "id", "data"), True),
    (socketio.AsyncServer, "_handle_ack", ("self", "eio_sid", "namespace", "id", "data"), True),
    (socketio.AsyncServer, "_send_packet", ("self", "eio_sid", "pkt"), True),
    (socketio_packet.Packet, "_reconstruct_binary_internal", ("data", "attachments"), False),
    (socketio.AsyncRedisManager, "initialize", ("self",), False),
    (socketio.AsyncRedisManager, "_thread", ("self",), True),
    *(
        (socketio.AsyncRedisManager, f"_handle_{method}", ("self", "message"), True)
        for method in ("disconnect", "enter_room", "leave_room", "close_room", "callback")
    ),
    (socketio.AsyncRedisManager, "_publish", ("self", "data"), True),
    (socketio.AsyncRedisManager, "_handle_emit", ("self", "message"), True),
    (socketio.AsyncManager, "pre_connect", ("self", "eio_sid", "namespace"), True),
    (BaseManager, "basic_enter_room", ("self", "sid", "namespace", "room", "eio_sid"), False),
    (BaseManager, "basic_leave_room", ("self", "sid", "namespace", "room"), False),
    (BaseManager, "basic_disconnect", ("self", "sid", "namespace", "kwargs"), False),
    (BaseManager, "get_participants", ("self", "namespace", "room"), False),
    (BaseManager, "get_rooms", ("self", "sid", "namespace"), False),
    (BaseManager, "is_sid_room", ("self", "namespace", "room"), False),
    (BaseManager, "sid_from_eio_sid", ("self", "eio_sid", "namespace"), False),
    (BaseManager, "eio_sid_from_sid", ("self", "sid", "namespace"), False),
    (web_protocol.RequestHandler, "connection_lost", ("self", "exc"), False),
    (web_protocol.RequestHandler, "data_received", ("self", "data"), False),
    (web_protocol.RequestHandler, "handle_error", ("self", "request", "status", "exc", "message"), False),
    (web_protocol.RequestHandler, "force_close", ("self",), False),
    (web.AppRunner, "_make_server", ("self",), True),
    (GunicornWebWorker, "_run", ("self",), True),
    (GunicornWebWorker, "_wait_next_notify", ("self",), False),
    (GunicornWebWorker, "_notify_waiter_done", ("self", "waiter"), False),
    (GunicornWebWorker, "handle_exit", ("self", "sig", "frame"), False),
    (GunicornWebWorker, "handle_quit", ("self", "sig", "frame"), False),
    (GunicornWebWorker, "notify", ("self",), False),
]


@pytest.mark.parametrize(
    ("library_class", "name", "parameters", "is_coroutine"),
    SEAMS,
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_seam_is_where_it_was(
    library_class: Any, name: str, parameters: tuple[str, ...], is_coroutine: bool
) -> None:
    seam = getattr(library_class, name)
    assert (names(seam), inspect.iscoroutinefunction(seam)) == (parameters, is_coroutine)


@pytest.mark.parametrize(
    ("ours", "theirs", "added"),
    [
        (EngineServer, engineio.AsyncServer, set()),
        (EngineSocket, AsyncSocket, {"__init__"}),
        (LibrarySocket, AsyncSocket, {"__init__"}),
        (SocketServer, socketio.AsyncServer, {"__init__"}),
        (ClientManager, socketio.AsyncRedisManager, {"__init__"}),
        (StrictPacket, socketio_packet.Packet, set()),
        (GatewayWorker, GunicornWebWorker, set()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_replaces_a_seam_takes_what_the_seam_took(ours: type, theirs: type, added: set[str]) -> None:
    for name, member in vars(ours).items():
        replaced = getattr(theirs, name, None)
        if name in added or name.startswith("__") or not inspect.isfunction(member) or replaced is None:
            continue
        if not callable(replaced) or (ours, name) == (EngineServer, "handle_request"):
            continue
        if (ours, name) == (EngineServer, "attach"):
            continue
        assert names(member) == names(replaced), f"{ours.__name__}.{name}"


def test_the_list_names_what_is_called_or_replaced() -> None:
    words = set(re.findall(r"\w+", engine.__doc__ or ""))
    assert {name for _, name, _, _ in SEAMS} <= words


async def test_the_request_handlers_private_parts_are_there() -> None:
    handler = web_protocol.RequestHandler(web.Server(_never), loop=asyncio.get_running_loop())
    assert handler._message_tail == b""
    assert handler.transport is None
    assert not handler._messages
    assert handler._upgraded is False
    assert handler._parser is not None
    ((message, _),), is_upgraded, tail = handler._parser.feed_data(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (message.path, is_upgraded, tail) == ("/x", False, b"")
    assert (handler._reading_paused, handler._buffer_paused) == (False, False)


async def _never(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("no request is made")


async def test_a_socketio_server_makes_our_engine() -> None:
    server = SocketServer()
    assert isinstance(server.eio, EngineServer)
    assert isinstance(server.eio.sockets, dict)
    assert {"connect", "message", "disconnect"} <= set(server.eio.handlers)
    assert server.packet_class is StrictPacket
    assert server.manager_initialized is False
    assert isinstance(server.namespace_handlers, dict)
    assert "websocket" in server.eio.transports


async def test_the_managers_state_is_where_the_client_manager_looks() -> None:
    manager = BaseManager()
    for name in ("rooms", "callbacks", "pending_disconnect"):
        assert isinstance(getattr(manager, name), dict), name
    client_manager = ClientManager()
    assert isinstance(client_manager.pending_connect, dict)
    assert (client_manager.channel, client_manager.write_only) == ("socketio", False)


def test_a_socket_has_the_state_that_the_libraries_ask_for() -> None:
    theirs = AsyncSocket(engineio.AsyncServer(async_mode="aiohttp"), "sid")
    ours = EngineSocket(EngineServer(), "sid")
    for name in ("sid", "server", "closed", "closing", "connected", "upgraded", "upgrading", "session"):
        assert hasattr(theirs, name), name
        assert hasattr(ours, name), name
    assert ours.session is ours.session == {}


def test_a_packet_knows_whether_it_is_binary() -> None:
    assert engineio_packet.Packet(4, b"\x01").binary
    assert engineio_packet.Packet(4, b"\x01").encode(b64=True) == "bAQ=="
    assert engineio_packet.Packet(4, "x").encode() == "4x"


def test_the_workers_runner_may_come_from_a_coroutine_function() -> None:
    source = inspect.getsource(GunicornWebWorker._run)
    assert "await self.wsgi()" in source
    assert "isinstance(wsgi, web.AppRunner)" in source
    assert "server.requests_count" in source


def test_a_connection_error_while_a_response_is_prepared_ends_a_request_quietly() -> None:
    source = inspect.getsource(web_protocol.RequestHandler.finish_response)
    assert "except ConnectionError" in source
    assert issubclass(Hijacked, web.Response)


def test_sentinel_urls_are_read_into_hosts_service_and_options() -> None:
    hosts, service, options = parse_redis_sentinel_url("redis+sentinel://ann:word@h1:1,h2:2/3/mine")
    assert (hosts, service) == ([("h1", 1), ("h2", 2)], "mine")
    assert options == {"username": "ann", "password": "word", "db": 3}


def test_the_compiled_unmasking_is_there_or_its_stand_in() -> None:
    from aiohttp._websocket import helpers

    data = bytearray(b"\x37\xfa\x21\x3d\x37")
    helpers.websocket_mask(b"\x37\xfa\x21\x3d", data)
    assert data == bytearray(5)


def test_emits_have_the_parameters_that_the_client_manager_reads() -> None:
    parameters = names(socketio.AsyncServer.emit)
    assert {"event", "data", "to", "room", "skip_sid", "namespace", "callback"} <= set(parameters)
