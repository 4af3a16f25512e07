"""A secret for tokens, made for whoever tries the gateway with its embedded Valkey; never with a Redis of one's own.

It lies in the state folder, for this user alone, and stays: tokens outlive a restart.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from gateway.server.embedded_folder import EmbeddedError

NAME = "token-secrets"


def development_secret(folder: Path) -> Path:
    """The file with the secret, made when there is none yet. Raises EmbeddedError."""
    file = folder / NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file
    except OSError as error:
        raise EmbeddedError(f"No secret for tokens can be made in {folder}: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as written:
        written.write(f"development:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    return file
