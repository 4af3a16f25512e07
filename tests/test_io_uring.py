"""One system call to many sockets: what the kernel takes, what it does not, and a worker without a ring."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from gateway import io_uring
from gateway.io_uring import SendRing

DATA = b"\x81\x05hello"

try:
    SendRing().close()
    REASON = ""
except OSError as none:
    REASON = str(none)

pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture
def ring() -> Iterator[SendRing]:
    made = SendRing(entries=16)
    yield made
    made.close()


Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Our end and theirs of twenty connections: more than the ring holds."""
    made = [socket.socketpair() for _ in range(20)]
    for ours, theirs in made:
        ours.setblocking(False)
        theirs.setblocking(False)
    yield made
    for pair in made:
        for end in pair:
            end.close()


def requests(ring: SendRing, pairs: list[Pair]) -> bytes:
    return b"".join(ring.request(ours.fileno(), number) for number, (ours, _) in enumerate(pairs))


def read(pair: Pair, size: int) -> bytes:
    """What has arrived, up to so many bytes."""
    found = bytearray()
    while len(found) < size:
        try:
            found += pair[1].recv(size - len(found))
        except BlockingIOError:
            break
    return bytes(found)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 20])
def test_everybody_gets_the_bytes_before_the_call_returns(
    ring: SendRing, pairs: list[Pair], count: int
) -> None:
    some = pairs[:count]
    for number in range(40):  # many times round the ring
        data = b"%b %d" % (DATA, number)
        assert list(ring.send(requests(ring, some), data)) == []
        assert [read(pair, 100) for pair in some] == [data] * count
    assert [read(pair, 100) for pair in pairs[count:]] == [b""] * (20 - count)


def test_what_a_socket_does_not_take_is_told_and_nothing_waits_for_it(
    ring: SendRing, pairs: list[Pair]
) -> None:
    much = os.urandom(4_000_000)
    unsent = dict(ring.send(requests(ring, pairs[:2]), much))
    assert set(unsent) == {0, 1}
    assert all(0 < sent < len(much) for sent in unsent.values())
    full = list(ring.send(requests(ring, pairs[:3]), DATA))
    assert full == [(0, 0), (1, 0)], "these are full, and the third is not"
    assert read(pairs[0], len(much)) == much[: unsent[0]], "nothing was left to leave later"
    assert read(pairs[2], 100) == DATA


def test_sockets_that_are_closed_are_told_and_the_others_get_it(ring: SendRing, pairs: list[Pair]) -> None:
    made = requests(ring, pairs)
    pairs[3][1].close()  # the peer is gone
    pairs[5][0].close()  # the descriptor is nobody's
    assert list(ring.send(made, DATA)) == [(3, 0), (5, 0)]
    assert [read(pair, 100) for place, pair in enumerate(pairs) if place not in (3, 5)] == [DATA] * 18


def test_a_ring_that_the_kernel_takes_away_has_sent_nothing_and_is_given_up(
    ring: SendRing, pairs: list[Pair]
) -> None:
    made = requests(ring, pairs[:3])
    os.close(ring._descriptor)
    ring._descriptor = -1
    assert list(ring.send(made, DATA)) == [(0, 0), (1, 0), (2, 0)]
    assert not ring.is_open
    assert list(ring.send(made, DATA)) == [(0, 0), (1, 0), (2, 0)]
    assert read(pairs[0], 100) == b""


def test_another_thread_sends_nothing_by_it(ring: SendRing, pairs: list[Pair]) -> None:
    made, found = requests(ring, pairs[:2]), list[tuple[int, int]]()
    assert list(ring.send(made, DATA)) == []  # it is this thread's from now on
    thread = threading.Thread(target=lambda: found.extend(ring.send(made, DATA)))
    thread.start()
    thread.join()
    assert found == [(0, 0), (1, 0)]
    assert read(pairs[0], 100) == DATA


def test_a_forked_process_has_no_part_in_its_parents_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io_uring._Own, "is_asked", False)
    parents = io_uring.ring()
    assert parents is not None
    pid = os.fork()
    if pid == 0:
        os._exit(0 if io_uring._Own.ring is None and not io_uring._Own.is_asked else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert io_uring.ring() is parents
    parents.close()
    assert io_uring.ring() is None


def test_who_may_not_have_one_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io_uring._Own, "is_allowed", True)
    io_uring.allow(False)
    assert io_uring.ring() is None


def test_a_process_without_descriptors_left_goes_on_without() -> None:
    """As where a container forbids the system call."""
    program = (
        "import resource; from gateway import io_uring; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3));"
        "print(io_uring.ring())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "None", done.stderr
    assert "io_uring_unavailable" in done.stdout


def test_nothing_is_kept_of_what_was_sent(ring: SendRing, pairs: list[Pair]) -> None:
    made, data = requests(ring, pairs), os.urandom(1000)
    before, descriptors = sys.getrefcount(data), len(os.listdir("/proc/self/fd"))
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2000):
        ring.send(made, data)
        for _, theirs in pairs:
            theirs.recv(10_000)
    assert sys.getrefcount(data) == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kib < 2000
