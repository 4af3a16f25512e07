"""Where Redis is, as it is written: every URL of every topology, read in one place.

Owns what may stand in `REDIS_URL`. Promises that whatever cannot be meant raises `UrlError` with one sentence, and that
no sentence repeats a part of the URL but its scheme and the names of its options: the rest may be a password in a wrong
place. Opens no connection; reads the TLS files that a URL names, so that a missing one is found at the start.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote

PORT, SENTINEL_PORT = 6379, 26379
"""Where Redis and Sentinels listen when a URL names no port."""
SERVICE = "mymaster"
"""What Sentinels call the primary when a URL does not say."""

ALLOWED = (
    "a URL such as redis://host:6379/0, rediss://… for TLS, unix:///path, redis+sentinel://host:26379,host:26379/0/service"
    " or redis+cluster://host:6379,host:6379"
)
_ODD_CHARACTERS = (
    "percent-encode the odd characters of a password (`@` is %40, `/` is %2F, `:` is %3A, `#` is %23)"
)


class UrlError(ValueError):
    """A URL cannot be meant; the text is the end of a sentence about it, without anything secret."""


class Topology(Enum):
    """What the servers of a URL are to each other."""

    ALONE = "one server"
    SENTINEL = "Sentinels, which name the primary"
    CLUSTER = "nodes of a Cluster"


_SCHEMES: dict[str, tuple[Topology, bool]] = {
    f"{product}{tls}{behind}": (topology, bool(tls))
    for product in ("redis", "valkey")
    for tls in ("", "s")
    for behind, topology in (
        ("", Topology.ALONE),
        ("+sentinel", Topology.SENTINEL),
        ("+cluster", Topology.CLUSTER),
    )
}
_SCHEMES["unix"] = Topology.ALONE, False

_PLAIN_OPTIONS = ("db", "username", "password")
_TLS_OPTIONS = (
    "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname",
)  # fmt: skip
_VERIFY = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """A URL, read: which servers, and how to be let in."""

    topology: Topology
    """What the servers are to each other."""
    hosts: tuple[tuple[str, int], ...] = ()
    """Host and port of each; empty for a Unix socket."""
    path: str | None = None
    """The Unix socket's."""
    database: int = 0
    """Of one server, or of the primary that Sentinels name; a Cluster has only 0."""
    username: str | None = None
    """Who is let in; None for the default user."""
    password: str | None = field(default=None, repr=False)
    """Decoded, as it is sent to Redis."""
    service: str = SERVICE
    """What Sentinels call the primary."""
    tls: ssl.SSLContext | None = None
    """How servers, and Sentinels, prove who they are; None for plain connections."""

    @property
    def place(self) -> str:
        """Where the servers are, for people: without user and password."""
        hosts = ", ".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        if self.topology is Topology.ALONE:
            return self.path or hosts
        if self.topology is Topology.SENTINEL:
            return f"the primary of {self.service} that the Sentinels {hosts} name"
        return f"the Cluster of {hosts}"


def read_redis_url(url: str) -> RedisUrl:
    """Reads a URL of any topology. Raises UrlError."""
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() not in _SCHEMES:
        raise UrlError(ALLOWED)
    topology, has_tls = _SCHEMES[scheme.lower()]
    if "#" in rest:
        raise UrlError(f"it has no part behind `#`; {_ODD_CHARACTERS}")
    place, _, query = rest.partition("?")
    options = _options(query, has_tls)
    if scheme.lower() == "unix":
        return _unix(place, options)
    return _by_hosts(topology, place, options, _tls_context(options) if has_tls else None)


def shown(url: str) -> str:
    """As much of a URL as may be shown to anybody: its scheme, if it is one."""
    scheme, found, _ = url.partition("://")
    is_scheme = found and (scheme.lower() in _SCHEMES or scheme.lower() in ("http", "https", "tcp"))
    return f"{scheme}://…" if is_scheme else "…"


def _unix(place: str, options: Mapping[str, str]) -> RedisUrl:
    """`unix://[user:password@]/path[?db=0]`."""
    credentials, _, path = place.rpartition("@")
    if not path.startswith("/"):
        raise UrlError("unix:// is followed by the whole path of a socket, such as unix:///run/redis.sock")
    username, password = _user(credentials, options)
    database = _database(options.get("db", ""))
    return RedisUrl(
        topology=Topology.ALONE, path=unquote(path), database=database, username=username, password=password
    )


def _by_hosts(
    topology: Topology, place: str, options: Mapping[str, str], tls: ssl.SSLContext | None
) -> RedisUrl:
    """`[user:password@]host:port[,host:port…][/database[/service]]`."""
    authority, _, path = place.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    if "@" in path:  # a password with a slash in it was cut in two
        raise UrlError(_ODD_CHARACTERS)
    database, service = _path(topology, path, options)
    username, password = _user(credentials, options)
    return RedisUrl(
        topology=topology,
        hosts=_hosts(topology, hosts),
        database=database,
        username=username,
        password=password,
        service=service,
        tls=tls,
    )


def _path(topology: Topology, path: str, options: Mapping[str, str]) -> tuple[int, str]:
    """The database and the Sentinels' name of the primary."""
    number, *more = path.removesuffix("/").split("/") if path else [""]
    if more and (topology is not Topology.SENTINEL or len(more) > 1):
        raise UrlError("behind its hosts stands nothing but the number of a database")
    if number and "db" in options:
        raise UrlError("it names the database twice, behind `/` and by `db`")
    database = _database(number or options.get("db", ""))
    if database and topology is Topology.CLUSTER:
        raise UrlError("a Cluster has no database but 0")
    return database, unquote(more[0]) if more and more[0] else SERVICE


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 6):
        raise UrlError(f"the database behind `/` must be a number; {_ODD_CHARACTERS}")
    return int(text or 0)


def _hosts(topology: Topology, text: str) -> tuple[tuple[str, int], ...]:
    names = text.split(",")
    if topology is Topology.ALONE and len(names) > 1:
        raise UrlError("it names several hosts: write redis+sentinel:// or redis+cluster://")
    if topology is not Topology.ALONE and not all(names):
        raise UrlError(f"it names no host, or an empty one: {ALLOWED}")
    usual = SENTINEL_PORT if topology is Topology.SENTINEL else PORT
    return tuple(_host(name, usual) for name in names)


def _host(text: str, usual_port: int) -> tuple[str, int]:
    """Host and port of `host`, `host:port` or `[IPv6 address]:port`."""
    read = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\[\]:\s]*))(?::(.*))?", text)
    if read is None:
        raise UrlError(
            f"a host is a name, an IPv4 address, or an IPv6 address in brackets; {_ODD_CHARACTERS}"
        )
    port = read[3]
    if port is not None and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise UrlError(f"its port must be a number from 1 to 65535; {_ODD_CHARACTERS}")
    return read[1] or read[2] or "127.0.0.1", int(port or usual_port)


def _user(credentials: str, options: Mapping[str, str]) -> tuple[str | None, str | None]:
    """User and password, decoded. An empty one counts as not given."""
    username, _, password = credentials.partition(":")
    return (
        unquote(username) or options.get("username") or None,
        unquote(password) or options.get("password") or None,
    )


def _options(query: str, has_tls: bool) -> dict[str, str]:
    """What stands behind `?`. An option that would be ignored is refused."""
    if "@" in query:
        raise UrlError(_ODD_CHARACTERS)
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        options[name] = unquote(value)
        if name in _TLS_OPTIONS and not has_tls:
            raise UrlError(f"`{name}` is for TLS: begin with rediss://")
        if name not in (*_PLAIN_OPTIONS, *_TLS_OPTIONS):
            raise UrlError(f"behind `?` may stand {', '.join((*_PLAIN_OPTIONS, *_TLS_OPTIONS))}")
    return options


def _tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """How a server proves who it is: by a certificate of these authorities that bears its name, unless told not to."""
    verify = options.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if verify not in _VERIFY:
        raise UrlError("`ssl_cert_reqs` is required, optional or none")
    context = _with_files(options)
    if verify != "required":
        context.check_hostname = False
        context.verify_mode = _VERIFY[verify]
    elif "ssl_check_hostname" in options:
        context.check_hostname = options["ssl_check_hostname"].lower() not in ("false", "0", "no", "off")
    return context


def _with_files(options: Mapping[str, str]) -> ssl.SSLContext:
    authorities, folder = options.get("ssl_ca_certs"), options.get("ssl_ca_path")
    own, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    try:
        context = ssl.create_default_context(cafile=authorities, capath=folder)
    except OSError as error:
        raise UrlError(
            f"its certificate file {authorities or folder} cannot be used: {_why(error)}"
        ) from error
    try:
        if own:
            context.load_cert_chain(own, key, password=_no_passphrase)
    except OSError as error:
        named = f"{own} and {key}" if key else own
        raise UrlError(f"its certificate file {named} cannot be used: {_why(error)}") from error
    return context


def _why(error: OSError) -> str:
    """Such as "No such file or directory"; OpenSSL's own words for a file that is no certificate."""
    return (
        "it is no certificate, or the key is not its key"
        if isinstance(error, ssl.SSLError)
        else str(error.strerror)
    )


def _no_passphrase() -> str:
    raise UrlError("its key file has a passphrase, which nobody could type")
