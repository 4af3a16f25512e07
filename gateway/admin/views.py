"""The three views of the dashboard, each as regions: what a page shows at first, and what the event stream brings anew.

A view asks the workers, and the server API in the name of the key that is signed in: what the key may not read is not
shown, and the page says which scope it lacks.
"""

from __future__ import annotations

from typing import Any, Protocol

from gateway.access.api_keys import READ, ApiKey
from gateway.admin import overview_page, room_page, user_page
from gateway.admin.html import Html
from gateway.admin.looking import Looking
from gateway.admin.pages import Frame

NAME_MAX = 512
"""Longest name of a room or user that is looked for: longer ones there are none of."""


class Methods(Protocol):
    """The methods of the server API."""

    async def call(self, name: str, key: ApiKey, fields: dict[str, Any]) -> Any:
        """Calls a method; its answer. Raises Refusal."""


class View(Protocol):
    """One view."""

    title: str
    stream: str

    async def regions(self, frame: Frame, key: ApiKey) -> dict[str, Html]:
        """The regions as they are now. Raises a StoreError or Refusal."""

    def body(self, frame: Frame, key: ApiKey, regions: dict[str, Html]) -> Html:
        """The page around them."""


class Overview:
    """All workers, and their rooms."""

    title, stream = "Overview", "view=overview"

    def __init__(self, looking: Looking) -> None:
        self._looking = looking

    async def regions(self, frame: Frame, key: ApiKey) -> dict[str, Html]:
        return overview_page.overview(frame, await self._looking.overview())

    def body(self, frame: Frame, key: ApiKey, regions: dict[str, Html]) -> Html:
        return overview_page.body(regions)


class Room:
    """One room."""

    def __init__(self, looking: Looking, methods: Methods, name: str, query: str) -> None:
        self._looking, self._methods, self._name = looking, methods, name
        self.title, self.stream = f"Room {name}", query

    async def regions(self, frame: Frame, key: ApiKey) -> dict[str, Html]:
        history = members = None
        if key.allows(READ, self._name):
            asked = {"room": self._name, "limit": room_page.MESSAGES_SHOWN}
            history = await self._methods.call("history", key, asked)
            members = await self._methods.call("members", key, {"room": self._name})
        return room_page.room(frame, key, await self._looking.room(self._name), history, members)

    def body(self, frame: Frame, key: ApiKey, regions: dict[str, Html]) -> Html:
        return room_page.body(frame, key, self._name, regions)


class User:
    """One user."""

    def __init__(self, looking: Looking, user: str, query: str) -> None:
        self._looking, self._user = looking, user
        self.title, self.stream = f"User {user}", query

    async def regions(self, frame: Frame, key: ApiKey) -> dict[str, Html]:
        return user_page.sessions(frame, await self._looking.user(self._user))

    def body(self, frame: Frame, key: ApiKey, regions: dict[str, Html]) -> Html:
        return user_page.body(frame, self._user, regions)
