"""The options of the server API: where it listens.

A group as those in `option_groups.py`, with a file of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from gateway.option_types import Kind, option

UNIX = "unix:"
PATH_BYTES_MAX = 100
"""Longest path of a Unix socket, with room for what the kernel adds."""


class Address(NamedTuple):
    """Where to listen: a host and a port, or the path of a Unix socket."""

    host: str
    port: int
    path: str

    @property
    def bind(self) -> str:
        """The address as gunicorn takes it."""
        if self.path:
            return UNIX + self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str) -> Address:
    """An address from its text. Raises ValueError."""
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path.startswith("/") or len(path.encode()) > PATH_BYTES_MAX or "\0" in path:
            raise ValueError(text)
        return Address("", 0, path)
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):([0-9]{1,5})", text)
    if found is None or not 1 <= int(found[3]) <= 65535:
        raise ValueError(text)
    return Address(found[1] or found[2], int(found[3]), "")


def _listen() -> Kind:
    allowed = "host:port, such as 127.0.0.1:8007, or unix: and an absolute path"
    return Kind(lambda text: address_of(text).bind, allowed, allowed)


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """The server API, by which backends publish, read and moderate."""

    listen: str | None = option("GATEWAY_API_LISTEN", None, _listen(),
        "Where the server API listens, instead of the port of the clients. Set it so that nobody outside can reach it, "
        "whatever stands in front of that port. Its keys are in [server-api.md](server-api.md).",
        "the clients' port")

    @property
    def address(self) -> Address | None:
        """The same in parts."""
        return address_of(self.listen) if self.listen is not None else None
# fmt: on
