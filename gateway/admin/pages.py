"""The dashboard's pages, as HTML. Functions of values.

What changes by itself stands in a region with `data-live`; the event stream brings each region anew, made by the same
functions.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from gateway.admin.html import Child, Html, el, join, raw

NEW_KEY = "gateway key new --name me --scope admin \\\n  --scope read --scope moderate"


class Frame(NamedTuple):
    """What stands around every page: where the dashboard is, the files beside it, who is signed in (empty: nobody),
    what forms must bring, and the sentence about what was just done."""

    base: str
    css: str
    js: str
    name: str = ""
    token: str = ""
    said: str = ""
    is_fault: bool = False


def page(frame: Frame, title: str, stream: str, *main: Child) -> str:
    """A whole page; `stream` is where its events come from, empty for none."""
    head = (
        raw('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        raw('<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'),
        raw('<link rel="icon" href="data:,">'),
        el("title", f"{title} · gateway"),
        el("link", rel="stylesheet", href=frame.css),
        el("script", src=frame.js, defer=True) if frame.name else None,
    )
    said = (
        el("p", frame.said, class_="said fault" if frame.is_fault else "said", role="status")
        if frame.said
        else None
    )
    body = el(
        "body",
        _header(frame) if frame.name else None,
        el("main", said, *main, id="main"),
        data_stream=stream or None,
    )
    return "<!doctype html>" + el("html", el("head", *head), body, lang="en")


def _header(frame: Frame) -> Html:
    find = el(
        "form",
        el("label", "Room", for_="find-room", class_="hidden"),
        el("input", id="find-room", name="name", placeholder="Room", required=True, autocomplete="off"),
        el("button", "Open"),
        action=f"{frame.base}/room", class_="find",
    )  # fmt: skip
    find_user = el(
        "form",
        el("label", "User", for_="find-user", class_="hidden"),
        el("input", id="find-user", name="id", placeholder="User", required=True, autocomplete="off"),
        el("button", "Open"),
        action=f"{frame.base}/user", class_="find",
    )  # fmt: skip
    out = el(
        "form", hidden(frame), el("span", frame.name, class_="muted"), el("button", "Sign out", class_="quiet"),
        method="post", action=f"{frame.base}/sign-out", class_="out",
    )  # fmt: skip
    return el(
        "header",
        el("a", el("span", class_="dot", id="dot"), "gateway", href=frame.base, class_="brand"),
        el("nav", find, find_user, aria_label="Find"),
        out,
    )


def hidden(frame: Frame, **fields: str) -> Html:
    """The hidden fields of a form."""
    names = {"token": frame.token, **fields}
    return join([el("input", type="hidden", name=name, value=value) for name, value in names.items()])


def sign_in(frame: Frame) -> str:
    """The form that asks for a key."""
    return page(
        frame, "Sign in", "",
        el(
            "form",
            el("h1", "gateway"),
            el("p", "Sign in with an API key that has the scope ", el("code", "admin"), " in all rooms."),
            el("input", name="username", value="gateway", autocomplete="username", hidden=True),
            el("label", "API key", for_="key"),
            el("input", type="password", id="key", name="key", required=True, autofocus=True,
               autocomplete="current-password", spellcheck="false"),
            el("button", "Sign in"),
            el("p", "To make one:", el("code", NEW_KEY, class_="command"), class_="muted small"),
            method="post", action=f"{frame.base}/sign-in", class_="card sign-in",
        ),
    )  # fmt: skip


def region(name: str, *children: Child) -> Html:
    """A region that the event stream brings anew."""
    return el("div", *children, data_live=name)


def card(title: str, *children: Child) -> Html:
    """A card with a heading."""
    return el("section", el("h2", title), *children, class_="card")


def bdi(value: object) -> Html:
    """A name, which may be written from right to left: it turns nothing around it."""
    return el("bdi", str(value))


def room_link(frame: Frame, name: str) -> Html:
    """A link to a room's page."""
    return el("a", bdi(name), href=f"{frame.base}/room?name={quote(name, safe='', errors='replace')}")


def user_link(frame: Frame, user: str, shown: str = "") -> Html:
    """A link to a user's page."""
    return el("a", bdi(shown or user), href=f"{frame.base}/user?id={quote(user, safe='', errors='replace')}")


WORDS = frozenset(("Worker", "Address", "Rooms"))
"""Columns of words; the others, but for the first, are of numbers, which stand at the right."""


def table(headings: tuple[str, ...], rows: list[tuple[Child, ...]], empty: str) -> Html:
    """A table; on narrow screens each row is a block, and `data-label` says what a cell is."""
    if not rows:
        return el("p", empty, class_="muted")
    kinds = ["words" if heading in WORDS else None for heading in headings]
    body = [
        el("tr", [
            el("td", cell, data_label=heading, class_=kind)
            for heading, kind, cell in zip(headings, kinds, row, strict=True)
        ])
        for row in rows
    ]  # fmt: skip
    head = el(
        "tr", [el("th", name, scope="col", class_=kind) for name, kind in zip(headings, kinds, strict=True)]
    )
    return el("table", el("thead", head), el("tbody", body))


def badge(text: str, kind: str) -> Html:
    """A word in a coloured box."""
    return el("span", text, class_=f"badge {kind}")
