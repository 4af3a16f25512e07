"""What comes from a browser to the dashboard, and what goes with every answer.

Owns the reading of forms, whether a request comes from the dashboard's own pages, and the headers of answers. Raises
`Refusal` for what cannot be taken.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from gateway.protocol import Refusal
from gateway.transport.hijack import read_body

FORM_BYTES_MAX = 16_384
FORM_S = 10.0
FIELDS_MAX = 20

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
UNCACHED = {"Cache-Control": "no-store", **HEADERS}


def refuse_other_sites(request: web.Request) -> None:
    """Raises Refusal for what another site's page sends. Browsers say where a request comes from: `Sec-Fetch-Site`
    where the dashboard is reached by HTTPS or on this machine, and `Origin` with every POST."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    else:
        origin = request.headers.get("Origin")
        is_ours = origin is None or urlsplit(origin).netloc == request.host
    if not is_ours:
        raise Refusal("forbidden", "This came from another site.")


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a form; of two with one name the last. Raises Refusal."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refusal("bad_request", "This is no form.")
    try:
        async with asyncio.timeout(FORM_S):
            body = await read_body(request, FORM_BYTES_MAX)
        if body is None:
            raise Refusal("too_large")
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except (TimeoutError, ValueError):
        raise Refusal("bad_request", "The form cannot be read.") from None


def answer(text: str, status: int = 200) -> web.Response:
    """A page."""
    return web.Response(text=text, status=status, content_type="text/html", headers=UNCACHED)


def see_other(path: str) -> web.Response:
    """Sends the browser to a page of the dashboard."""
    return web.Response(status=303, headers={**UNCACHED, "Location": path})
