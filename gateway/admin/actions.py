"""What the buttons of the dashboard do: methods of the server API, in the name of the key that is signed in.

Owns which methods there are here and how a form becomes a request. Whether the key may is the API's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway.protocol import Refusal

DONE = {
    "redact": "Redacted.",
    "kick": "Kicked.",
    "mute": "Muted.",
    "unmute": "Not muted any more.",
    "disconnect": "Disconnected.",
    "ban": "Banned.",
    "unban": "Not banned any more.",
}
"""The methods, and what is said once they are done."""

_IN_ROOM = frozenset(("redact", "kick", "mute", "unmute"))
_ABOUT_SOMEBODY = frozenset(("kick", "mute", "unmute"))
_NUMBER_MAX = 12


class Action(NamedTuple):
    """A method, its fields, and the page to go back to, below the dashboard's path."""

    method: str
    fields: dict[str, Any]
    back: str


def action_of(form: Mapping[str, str], now_s: float) -> Action:
    """What a form asks for. Raises Refusal."""
    method = form.get("method", "")
    if method not in DONE:
        raise Refusal("bad_request", "There is no such action.")
    if method in _IN_ROOM:
        room = form.get("room", "")
        return Action(method, _in_room(method, room, form), f"/room?name={quote(room, safe='')}")
    user = form.get("user", "")
    fields: dict[str, Any] = {"user": user}
    for_s = _seconds(form)
    if method == "ban" and for_s is not None:
        fields["until"] = now_s + for_s
    return Action(method, fields, f"/user?id={quote(user, safe='')}")


def _in_room(method: str, room: str, form: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"room": room}
    if method == "redact":
        fields["id"] = form.get("id", "")
    if method in _ABOUT_SOMEBODY:
        kind = "username" if form.get("kind") == "username" else "user"
        fields[kind] = form.get("who", "").strip()
    if method in ("kick", "mute") and (for_s := _seconds(form)) is not None:
        fields["for_s"] = for_s
    return fields


def _seconds(form: Mapping[str, str]) -> int | None:
    text = form.get("for_s", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_MAX):
        raise Refusal("bad_request", "'for_s' is no number of seconds.")
    return int(text)
