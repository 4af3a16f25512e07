"""Texts on a terminal: how wide they are, where they are cut, and that none of them draws."""

from __future__ import annotations

import pytest

from gateway.server.terminal import cut, safe, table, width


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("lobby", 5),
        ("Café", 4),
        ("Cafe\u0301", 4),
        ("会議室", 6),
        ("🎉", 2),
        ("ｆｕｌｌ", 8),
        ("—…", 2),
    ],
)
def test_a_text_takes_so_many_columns(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize("most", range(1, 12))
@pytest.mark.parametrize("text", ["interview:42", "会議室の部屋", "a🎉b🎉c🎉d", "Cafe\u0301 Cafe\u0301"])
def test_what_is_cut_fits_and_what_fits_is_not_cut(text: str, most: int) -> None:
    found = cut(text, most)
    assert width(found) <= most
    assert (found == text) is (width(text) <= most)


def test_what_others_wrote_moves_no_cursor() -> None:
    assert safe("a\x1b[2Jb\r\n\u202ec\x07") == "a·[2Jb···c·"
    assert safe("会議室の部屋", 7) == "会議室…"


def test_columns_of_a_table_stand_below_one_another() -> None:
    lines = table(("ROOM", "MSG/S"), [("会議室", "1.0"), ("lobby 🎉", "12.5")])
    assert len({width(line) for line in lines}) == 1
