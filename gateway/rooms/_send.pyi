from collections.abc import Callable

Socket = tuple[int, Callable[[], bool], Callable[[], int], Callable[[bytes], None]]

def send_to_all(sockets: list[Socket], data: bytes, is_ring_allowed: bool, /) -> None: ...
