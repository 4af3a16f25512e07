"""The options of the stock client that is served. A group as those in `option_groups.py`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.option_types import choice, option, text_of


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class ClientBundleOptions:
    """The stock client for browsers, served at `/socket.io/socket.io.js`."""

    serve: str = option("GATEWAY_SERVE_CLIENT", "on", choice("on", "off"),
        "Whether the files that `gateway client-bundle` has fetched are served "
        "([clients.md](clients.md#the-client-from-the-gateway)). Set `off` where pages load the client from elsewhere.")
    folder: str | None = option("GATEWAY_CLIENT_DIR", None, text_of("a path"),
        "Where these files are; without it, a folder of the installed package. Without files nothing is served. Set it "
        "where the package cannot be written to.")
# fmt: on
