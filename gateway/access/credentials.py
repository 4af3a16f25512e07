"""Where a client's token stands: in the data of its CONNECT, and in its handshake only where an option says so.

Owns the order: `auth`, header, cookie, query; the first that is there counts, even if it is a bad one. Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

NO_TEXT = "(no text)"
"""What stands for a token that is no text: it is none, and it must not count as missing."""
_ORDER = ("auth", "header", "cookie", "query")


class Credentials:
    """Finds the token of a client."""

    def __init__(self, places: tuple[str, ...] = ("auth",)) -> None:
        """`places` are those of GATEWAY_TOKEN_FROM; `auth` always counts."""
        split = [place.partition(":")[::2] for place in places]
        self._places = sorted(
            ((kind, name) for kind, name in split if kind != "auth"), key=lambda place: _ORDER.index(place[0])
        )

    def find(self, auth: object, environ: Mapping[str, str]) -> str | None:
        """The token, or None where there is none. `auth` is the data of CONNECT, `environ` the handshake's."""
        found = auth.get("token") if isinstance(auth, dict) else None
        if found is not None and found != "":
            return found if isinstance(found, str) else NO_TEXT
        for kind, name in self._places:
            if (in_handshake := _READERS[kind](environ, name)) is not None:
                return in_handshake
        return None


def _header(environ: Mapping[str, str], _name: str) -> str | None:
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _cookie(environ: Mapping[str, str], wanted: str) -> str | None:
    for pair in environ.get("HTTP_COOKIE", "").split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals and name == wanted:
            return value.strip('"') or None
    return None


def _query(environ: Mapping[str, str], wanted: str) -> str | None:
    try:
        pairs = parse_qsl(environ.get("QUERY_STRING", ""), max_num_fields=100)
    except ValueError:  # more fields than that: no honest client's
        return None
    return next((value for name, value in pairs if name == wanted), None)


_READERS = {"header": _header, "cookie": _cookie, "query": _query}
