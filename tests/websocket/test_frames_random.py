"""Random and damaged streams: the same comes of them however they are cut."""

from __future__ import annotations

from random import Random

import pytest

from gateway.websocket.deflate import Inflater, compress
from gateway.websocket.frames import BINARY, CONTINUATION, PING, PONG, TEXT, FrameParser, Message
from tests.support.client_frames import FIN, MAX_BYTES, RSV1, chopped, client_frame, fed


def random_payload(random: Random, opcode: int) -> bytes:
    length = random.choice([0, 1, 5, 40, 80, 125, 126, 200, 1000, 5000])
    if opcode == BINARY:
        return random.randbytes(length)
    letters = random.choice(['abc {}"', "aé€😀", "é"])
    return "".join(random.choices(letters, k=length // 2)).encode()


def random_message(random: Random, expected: list[Message], with_compression: bool) -> bytes:
    """The frames of one message, control frames between them; adds to `expected` what must come of them."""
    opcode = random.choice([TEXT, TEXT, TEXT, BINARY])
    payload = random_payload(random, opcode)
    is_compressed = with_compression and random.random() < 0.5
    rest, first, stream = compress(payload) if is_compressed else payload, opcode | is_compressed * RSV1, b""
    while random.random() < 0.3:
        cut = random.randint(0, len(rest))
        stream += client_frame(first, rest[:cut], random.randbytes(4))
        rest, first = rest[cut:], CONTINUATION
        if random.random() < 0.5:
            control = (random.choice([PING, PONG]), random.randbytes(random.choice([0, 4, 125])))
            stream += client_frame(FIN | control[0], control[1], random.randbytes(4))
            expected.append(control)
    expected.append((opcode, payload))
    size = random.choice([None, None, 8])
    return stream + client_frame(first | FIN, rest, random.randbytes(4), size)


@pytest.mark.parametrize("seed", range(40))
def test_random_streams_come_out_the_same_however_they_are_cut(seed: int) -> None:
    random = Random(seed)
    expected: list[Message] = []
    with_compression = seed % 2 == 1
    stream = b"".join(random_message(random, expected, with_compression) for _ in range(40))
    for longest in (1, 3, 17, 150, 1460, 70_000, len(stream)):
        parser = FrameParser(MAX_BYTES, Inflater() if with_compression else None)
        assert fed(chopped(stream, random, longest), parser) == (expected, 0)
        assert parser._unfinished is None


@pytest.mark.parametrize("seed", range(60))
def test_damaged_streams_fail_the_same_however_they_are_cut(seed: int) -> None:
    random = Random(1000 + seed)
    inflater = Inflater() if seed % 2 else None
    stream = bytearray(b"".join(random_message(random, [], seed % 2 == 1) for _ in range(10)))
    for _ in range(random.randint(1, 4)):
        stream[random.randrange(len(stream))] ^= 1 << random.randrange(8)
    whole = fed([bytes(stream)], FrameParser(MAX_BYTES, inflater))
    assert whole[1] in (0, 1002, 1007, 1009)
    for longest in (1, 10, 400):
        assert fed(chopped(bytes(stream), random, longest), FrameParser(MAX_BYTES, inflater)) == whole


def test_noise_raises_frame_errors_only() -> None:
    random = Random(5)
    codes = {
        fed([random.randbytes(random.randint(1, 200))], FrameParser(500, Inflater()))[1] for _ in range(5000)
    }
    assert codes <= {0, 1002, 1007, 1009}
