"""One room: its members, where it is on each worker, its last messages, and what moderators can do about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.access.api_keys import MODERATE, READ, ApiKey
from gateway.admin.html import Child, Html, el, join
from gateway.admin.looking import RoomView
from gateway.admin.pages import Frame, badge, bdi, card, hidden, region, table, user_link
from gateway.chat.questions import Answer
from gateway.protocol import Position

MESSAGES_SHOWN = 30
MEMBERS_SHOWN = 50
FOR = (("", "until taken back"), ("600", "for 10 minutes"), ("3600", "for an hour"), ("86400", "for a day"))
KICK_FOR = (("", "may come back at once"), *FOR[1:])


def room(frame: Frame, key: ApiKey, seen: RoomView, history: Any, members: Any) -> dict[str, Html]:
    """The regions of the page, by name. `history` and `members` are the server API's answers; None where the key may
    not read them."""
    return {
        "facts": card("Where it is", _facts(seen), _workers(seen)),
        "members": card("Members", _members(frame, seen, members)),
        "messages": card("Last messages", _messages(frame, key, seen.name, history)),
    }


def body(frame: Frame, key: ApiKey, name: str, regions: dict[str, Html]) -> Html:
    """The page around them."""
    return join(
        el("h1", "Room ", bdi(name)),
        region("facts", regions["facts"]),
        el(
            "div",
            region("messages", regions["messages"]),
            el("div", _moderate(frame, key, name), region("members", regions["members"])),
            class_="columns wide-first",
        ),
    )


def _facts(seen: RoomView) -> Html:
    position = (
        "no position: nothing was ever said" if seen.facts.position is None else str(seen.facts.position)
    )
    said = ("Stored up to", el("code", position)), ("Users", f"{seen.facts.users:,}")
    return el("dl", [(el("dt", name), el("dd", value)) for name, value in said], class_="facts")


def _workers(seen: RoomView) -> Html:
    rows: list[tuple[Child, ...]] = [
        (bdi(name), f"{told['room']['members']:,}", el("code", told["room"]["position"] or "none"),
         _lag(seen.facts.position, told), f"{told['room']['behind']:,}", _state(told))
        for name, told in sorted(seen.workers.items())
    ]  # fmt: skip
    rows += [(bdi(name), "", "", "", "", badge("no answer", "warn")) for name in seen.silent]
    headings = ("Worker", "Members", "Position", "Lag", "Slow members", "State")
    return table(headings, rows, "No worker has members in it.")


def _lag(at: Position | None, told: Answer) -> str:
    if at is None or told["room"]["position"] is None:
        return "—"
    here = Position.parse(told["room"]["position"])
    return f"{max(at.seq - here.seq, 0):,}" if here.epoch == at.epoch else "another epoch"


def _state(told: Answer) -> Html:
    for word in ("unsure", "refused", "reading"):
        if told["room"][word]:
            return badge(word, "bad" if word != "reading" else "warn")
    return badge("live", "good")


def _members(frame: Frame, seen: RoomView, members: Any) -> Html:
    if members is None:
        return _lacks(READ)
    users = {each["username"]: each["user"] for each in members["users"]}
    names = members["members"][:MEMBERS_SHOWN]
    shown = [
        el("li", user_link(frame, users.get(name, name), name), None if name in users else _guest())
        for name in names
    ]
    more = members["count"] - len(names)
    rest = el("p", f"and {more:,} more", class_="muted") if more > 0 else None
    return join(el("ul", shown, class_="names") if names else el("p", "Nobody.", class_="muted"), rest)


def _guest() -> Html:
    return el("span", " guest", class_="muted small")


def _messages(frame: Frame, key: ApiKey, name: str, history: Any) -> Html:
    if history is None:
        return _lacks(READ)
    may_redact = key.allows(MODERATE, name)
    shown = [_message(frame, name, each, may_redact) for each in reversed(history["messages"])]
    return el("ol", shown, class_="messages") if shown else el("p", "Nothing was said.", class_="muted")


def _message(frame: Frame, room: str, said: dict[str, Any], may_redact: bool) -> Html:
    at = datetime.fromtimestamp(said["__createdtime__"] / 1000, UTC)
    is_redacted = (said.get("changed") or {}).get("kind") == "redacted"
    who = said.get("username", "")
    head = el(
        "div",
        user_link(frame, said.get("user") or who, who),
        el("time", f"{at:%H:%M:%S}", datetime=f"{at:%Y-%m-%dT%H:%M:%SZ}", class_="muted"),
        el("code", said["id"], class_="muted"),
        class_="who",
    )
    words = el("p", "redacted", class_="muted") if is_redacted else el("p", bdi(said.get("message", "")))
    button = None
    if may_redact and not is_redacted:
        fields = hidden(frame, method="redact", room=room, id=said["id"])
        button = el(
            "form", fields, el("button", "Redact", class_="danger small", aria_label=f"Redact {said['id']}"),
            method="post", action=f"{frame.base}/do", data_confirm="Take the text of this message away for everybody?",
        )  # fmt: skip
    return el("li", head, words, button)


def _moderate(frame: Frame, key: ApiKey, name: str) -> Html:
    if not key.allows(MODERATE, name):
        return card("Moderate", _lacks(MODERATE))
    return card(
        "Moderate",
        _about_somebody(frame, name, "kick", "Kick", KICK_FOR),
        _about_somebody(frame, name, "mute", "Mute", FOR),
        _about_somebody(frame, name, "unmute", "Unmute", ()),
    )


def _about_somebody(
    frame: Frame, room: str, method: str, title: str, times: tuple[tuple[str, str], ...]
) -> Html:
    choose = [el("option", text, value=value) for value, text in times]
    return el(
        "form",
        hidden(frame, method=method, room=room),
        el("label", f"{title}", for_=f"{method}-who"),
        el("div",
           el("input", id=f"{method}-who", name="who", required=True, autocomplete="off", placeholder="who"),
           el("select", el("option", "user id", value="user"), el("option", "guest's name", value="username"),
              name="kind", aria_label="What that is"),
           el("select", choose, name="for_s", aria_label="How long") if times else None,
           el("button", title, class_="danger" if method != "unmute" else None),
           class_="row"),
        method="post", action=f"{frame.base}/do", class_="act",
    )  # fmt: skip


def _lacks(scope: str) -> Html:
    return el("p", "Your key has not the scope ", el("code", scope), ", which this needs.", class_="muted")
