"""Where the server API is, for `gateway check`. Which keys there are is said by `api_key_lines.py`."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.access.api_keys import ApiKeys
from gateway.api.http import PATH
from gateway.settings import Settings


def api_lines(settings: Settings, keys: ApiKeys) -> Iterator[tuple[str, str]]:
    """Lines (heading, text) about the server API."""
    own, path = settings.api.listen, f"{settings.server.path_prefix}{PATH}"
    if keys.is_empty:
        if own is not None:
            yield (
                "warning",
                f"GATEWAY_API_LISTEN={own} is set, and there is no API key: nothing is served there.",
            )
        return
    if own is None:
        yield "server api", f"on, at the clients' port {settings.server.port}, under {path}"
    else:
        yield "server api", f"on, at {own} alone, under {path}"
