"""Which release of the stock client is served, its files, and what they must be, byte for byte.

The hashes are those of the npm package socket.io-client (MIT), as `sha384sum` prints them, in base64 as browsers take
them for `integrity`. Imports the standard library only: an image fetches the files before the gateway is installed.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

VERSION = "4.8.4"
HASHES = {
    "socket.io.js": "Reot/vo8FFwN0x9+TUlfgfqhwfzvBM0YeCDPf977fZzLqc55oTKZGNv8BZA0LR4J",
    "socket.io.js.map": "X1pEnKw9T29vUKh3AW+tvdLyG0mGKaH9QLkQS8VsOos1lT9i1eI7Ha0BaNOH8AHH",
    "socket.io.min.js": "fBrXvbDtHoeKWJ/hcA6M+YGueiDW+h45I7V6F2kD1S8bOkrF9rZYPLVkCR6BLR/1",
    "socket.io.min.js.map": "EHREuzRnoSNA/ctOMWCaiIgp88vsMFMGMPI4luaXkNexePazunB/zkv1tNBRIiMy",
    "socket.io.esm.min.js": "834VzTcRncaUC59tAyCD5pGCYi2irsZ3S07X7ieWfWcwnEcZ5bSFjFLIGSVY8oTF",
    "socket.io.esm.min.js.map": "LXFK9IFXiO3F/iiAuuwXlL6d9l1GDQRdBf4gkQAUnzSlktB35NMvweBF40L+Co5L",
    "socket.io.msgpack.min.js": "G06Oz7sN7VkeQ7zQJ+NFzkffen41Glll0eKRMFYp6xlvMue5ad0z4hFwDPVmCzwV",
    "socket.io.msgpack.min.js.map": "tAwGrUSxWfF51WRMRTSndl6J3BfbNLYbrztD0+Xl9M3A9IpkM3oJLT96/VOKsM5j",
}
LICENSE = "LICENSE"
LICENSE_HASH = "zRc0XQmLUXTxZBrp8Z2uKNC2jctJjbIXQEdIInT5Wej6NUAPDW436TggyP/M8EV3"
"""It stands beside the files, and is not served."""
DEFAULT_FOLDER = Path(__file__).parent / "client"


class BundleError(Exception):
    """The files are not those that they should be, or cannot be had; the text says which, and why."""


def checked(name: str, body: bytes) -> bytes:
    """The bytes of a file, if they are right. Raises BundleError."""
    wanted = LICENSE_HASH if name == LICENSE else HASHES[name]
    if base64.b64encode(hashlib.sha384(body).digest()).decode() != wanted:
        raise BundleError(f"{name} is not the file of socket.io-client {VERSION}")
    return body
