"""Text is text, whatever it holds."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from gateway.admin.actions import DONE, action_of
from gateway.admin.html import el, join, text
from gateway.admin.pages import Frame, page, room_link, table, user_link
from gateway.admin.plots import plot, summed
from gateway.protocol import Refusal

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</title><script>",
    "javascript:alert(1)", "&lt;b&gt;", "{{7*7}}", "\u202egnp.exe", "a\x00b\x1b[31m", "<!--", "]]>", "\ud83d",
)  # fmt: skip


class Tags(HTMLParser):
    """The elements and the attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.said = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_never_becomes_markup(name: str) -> None:
    frame = Frame("/admin", "/admin.css", "/admin.js", "ops", "token", said=name)
    harmless = page(
        frame, "x", "x", room_link(frame, "x"), user_link(frame, "x"), table(("a", "b"), [("x", "x")], "x")
    )
    hostile = page(
        frame,
        name,
        name,
        room_link(frame, name),
        user_link(frame, name),
        table(("a", "b"), [(name, name)], name),
    )
    assert Tags(hostile).tags == Tags(harmless).tags
    assert Tags(hostile).names == Tags(harmless).names
    assert "on" not in {each[:2] for each in Tags(hostile).names}


def test_what_moves_a_cursor_is_shown_as_a_dot() -> None:
    assert text("a\x1b[31m\u202eb") == "a·[31m·b"


def test_pieces_are_joined_and_the_rest_is_escaped() -> None:
    assert join("<", el("b", "&", 7, None), ["x", [">"]]) == "&lt;<b>&amp;7</b>x&gt;"
    assert el("input", disabled=True, value='"', hidden=False) == '<input disabled value="&quot;">'


def test_plots_say_in_words_what_they_show() -> None:
    assert "now 3, at most 9" in plot([1, 9, 3], "messages")
    assert "no figures yet" in plot([], "messages")
    assert "NaN" not in plot([0, 0], "messages") + plot([5], "messages")
    assert summed([[1, 2, 3], [10]]) == [1, 2, 13]


def test_forms_become_requests_of_the_server_api() -> None:
    kicked = action_of(
        {"method": "kick", "room": "tea & co", "who": " ada ", "kind": "username", "for_s": "600"}, 0
    )
    assert kicked == (
        "kick",
        {"room": "tea & co", "username": "ada", "for_s": 600},
        "/room?name=tea%20%26%20co",
    )
    assert action_of({"method": "mute", "room": "tea", "who": "42", "for_s": ""}, 0).fields == {
        "room": "tea",
        "user": "42",
    }
    assert action_of({"method": "ban", "user": "42", "for_s": "60"}, 1000.0).fields == {
        "user": "42",
        "until": 1060.0,
    }
    assert action_of({"method": "disconnect", "user": "//evil"}, 0).back == "/user?id=%2F%2Fevil"
    for form in (
        {},
        {"method": "publish"},
        {"method": "ban", "user": "42", "for_s": "-1"},
        {"method": "batch"},
    ):
        with pytest.raises(Refusal):
            action_of(form, 0)
    assert set(DONE) == {"redact", "kick", "mute", "unmute", "disconnect", "ban", "unban"}
