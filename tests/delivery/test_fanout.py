"""One message to many: framed once, one write per member, compressed once for those who agreed to it."""

from __future__ import annotations

import zlib
from types import SimpleNamespace

from gateway.delivery.fanout import Targets
from gateway.delivery.frames import text_frame
from tests.delivery.recorder import Recorder

LONG = b"42" + b'["receive",{"message":"' + b"hello " * 300 + b'"}]'


class Compressing(Recorder):
    """An open WebSocket that agreed to compression."""

    def __init__(self, window_bits: int) -> None:
        super().__init__()
        self.frames: list[bytes] = []
        self.carrier = SimpleNamespace(  # type: ignore[assignment]
            window_bits=window_bits, send_frames=self.frames.append
        )

    @property
    def direct_write(self) -> None:  # type: ignore[override]
        return None


def test_all_packets_of_a_turn_are_one_write_per_member() -> None:
    members = [Recorder(), Recorder(), Recorder(is_direct=False)]
    assert Targets(members).write([b"4a", b"4b", b"4c"]) == 3  # type: ignore[arg-type]
    assert [(member.packets, member.writes) for member in members] == [([b"4a", b"4b", b"4c"], 1)] * 3


def test_nobody_is_nobody() -> None:
    assert Targets([]).write([b"4a"]) == 0


def test_what_is_long_is_compressed_once_for_all_with_the_same_window() -> None:
    members = [Compressing(15), Compressing(15)]
    assert Targets(members).write([LONG, b"4short"]) == 2  # type: ignore[arg-type]
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
    member = Compressing(9)
    assert Targets([member]).write([LONG]) == 1  # type: ignore[list-item]
    assert (member.packets, member.frames) == ([LONG], [])
