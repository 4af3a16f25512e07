"""One message to many: framed once, one write per member, compressed once for those who agreed to it."""

from __future__ import annotations

import traceback
import zlib
from collections.abc import Callable, Sequence

import pytest

from gateway.rooms.fanout import Targets
from gateway.websocket.frames import text_frame
from tests.support.recorder import Recorder

LONG = b"42" + b'["receive",{"message":"' + b"hello " * 300 + b'"}]'


class Compressing(Recorder):
    """An open WebSocket that agreed to compression; `is_usual` says whether with the window of most."""

    def __init__(self, is_usual: bool = True) -> None:
        super().__init__(is_direct=False)
        self.frames: list[bytes] = []
        self._is_usual = is_usual

    @property
    def direct_write_deflated(self) -> Callable[[bytes], None] | None:
        return self.frames.append if self._is_usual else None


def test_all_packets_of_a_turn_are_one_write_per_member() -> None:
    members = [Recorder(), Recorder(), Recorder(is_direct=False)]
    assert Targets(members).write([b"4a", b"4b", b"4c"]) == 3
    assert [(member.packets, member.writes) for member in members] == [([b"4a", b"4b", b"4c"], 1)] * 3


def test_nobody_is_nobody() -> None:
    assert Targets([]).write([b"4a"]) == 0


def test_what_is_long_is_compressed_once_for_all_with_the_same_window() -> None:
    members = [Compressing(), Compressing()]
    assert Targets(members).write([LONG, b"4short"]) == 2
    first, second = members
    assert first.frames == second.frames
    assert first.frames[0] is second.frames[0], "the same bytes"
    (data,) = first.frames
    assert data.endswith(text_frame(b"4short"))
    assert data[0] == 0xC1
    length, start = (int.from_bytes(data[2:4]), 4) if data[1] == 126 else (data[1], 2)
    inflated = zlib.decompressobj(-15).decompress(data[start : start + length] + b"\x00\x00\xff\xff")
    assert inflated == LONG


def test_a_smaller_window_is_served_on_its_own() -> None:
    member = Compressing(is_usual=False)
    assert Targets([member]).write([LONG]) == 1
    assert (member.packets, member.frames) == ([LONG], [])


class Broken(Recorder):
    """One whose sending fails."""

    def send_texts(self, packets: Sequence[bytes]) -> None:
        raise ZeroDivisionError


def test_a_traceback_names_our_lines_on_both_builds() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        Targets([Broken(is_direct=False)]).write([b"4a"])
    found = [
        each for each in traceback.extract_tb(raised.tb) if each.filename.endswith("gateway/rooms/fanout.py")
    ]
    assert [(each.name, each.line) for each in found] == [("write", "recipient.send_texts(packets)")]
