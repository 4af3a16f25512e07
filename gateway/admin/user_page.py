"""One user: its sessions on all workers, and how to end them and keep it out."""

from __future__ import annotations

from gateway.admin.html import Child, Html, el, join
from gateway.admin.looking import UserView
from gateway.admin.pages import Frame, bdi, card, hidden, region, room_link, table

FOR = (("3600", "for an hour"), ("86400", "for a day"), ("604800", "for a week"), ("", "for good"))


def sessions(frame: Frame, seen: UserView) -> dict[str, Html]:
    """The regions of the page, by name."""
    rows: list[tuple[Child, ...]] = [
        (el("code", each["session"]), bdi(each["worker"]), each["address"] or "not told",
         _rooms(frame, each["rooms"]), f"{each['unsent_bytes']:,}")
        for each in seen.sessions
    ]  # fmt: skip
    headings = ("Session", "Worker", "Address", "Rooms", "Unsent bytes")
    return {"sessions": card(f"Sessions: {seen.number}", table(headings, rows, "Not connected."))}


def body(frame: Frame, user: str, regions: dict[str, Html]) -> Html:
    """The page around them."""
    return join(
        el("h1", "User ", bdi(user)),
        region("sessions", regions["sessions"]),
        card(
            "Act",
            el("p", "These are about a user with a token, by the id that it says (", el("code", "sub"),
               "). A guest has none: ban its address, or kick and mute it by its name in a room.",
               class_="muted small"),
            _act(frame, user, "disconnect", "Disconnect", "End all its sessions; it does not come back by itself."),
            _act(frame, user, "ban", "Ban", "Keep it out, whatever token it shows.", FOR),
            _act(frame, user, "unban", "Take the ban back", "Let it in again."),
        ),
    )  # fmt: skip


def _rooms(frame: Frame, rooms: dict[str, str]) -> Html:
    shown = [
        el("li", room_link(frame, name), el("span", " as ", bdi(username), class_="muted"))
        for name, username in rooms.items()
    ]
    return el("ul", shown, class_="names")


def _act(
    frame: Frame, user: str, method: str, title: str, meaning: str, times: tuple[tuple[str, str], ...] = ()
) -> Html:
    choose = [el("option", text, value=value) for value, text in times]
    return el(
        "form",
        hidden(frame, method=method, user=user),
        el("div",
           el("button", title, class_=None if method == "unban" else "danger"),
           el("select", choose, name="for_s", aria_label="How long") if times else None,
           el("span", meaning, class_="muted small"),
           class_="row"),
        method="post", action=f"{frame.base}/do", class_="act",
        data_confirm=None if method == "unban" else f"{title}: are you sure?",
    )  # fmt: skip
