"""Reads a document at a fixed address, within limits.

Follows no redirect, takes no cookies and no proxy from the environment, reads no more than `BYTES_MAX`, and gives up
after `FETCH_LIMIT_S`.
"""

from __future__ import annotations

import asyncio

import aiohttp

BYTES_MAX = 262_144
FETCH_LIMIT_S = 5.0


class FetchFailed(Exception):
    """The document could not be read; the text is a sentence without a full stop."""


async def fetch(url: str, limit_s: float = FETCH_LIMIT_S) -> bytes:
    """The body of a 200; raises FetchFailed for all else."""
    try:
        async with (
            asyncio.timeout(limit_s),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
            session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status != 200:
                raise FetchFailed(_status(answer.status))
            return await body_of(answer)
    except TimeoutError:
        raise FetchFailed(f"no answer within {limit_s:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchFailed(f"{type(error).__name__}: {error}"[:200]) from None


def _status(status: int) -> str:
    if 300 <= status < 400:
        return f"it redirects ({status}), which is not followed: set the address where it leads"
    return f"it answers {status}"


async def body_of(answer: aiohttp.ClientResponse, bytes_max: int = BYTES_MAX) -> bytes:
    """An answer's body; raises FetchFailed when it is longer than is read."""
    found = bytearray()
    async for piece in answer.content.iter_chunked(65_536):
        found += piece
        if len(found) > bytes_max:
            raise FetchFailed(f"it is longer than {bytes_max} bytes")
    return bytes(found)
