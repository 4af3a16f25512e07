"""`python -m gateway.server.preflight`: whether the files that the options name can be used; read before a start.

gunicorn's master asks it at the start, and starts nothing on a bad answer. It is a process of its
own because it imports what workers import: what the master has imported, its workers would have after every reload.

Prints warnings, one a line; then, where something is wrong, a sentence on standard error, with exit status `REFUSED`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from gateway.option_types import SettingsError
from gateway.settings import Settings

REFUSED = 3


def warnings_of(settings: Settings) -> Iterator[str]:
    """What works and should not stay so. Raises SettingsError for what does not work."""
    options = settings.identity
    if options.auth == "off":
        return
    from gateway.access.key_files import open_secrets, read_hook_secrets, read_keys
    from gateway.access.signing_keys import KeysError

    try:
        read_keys(options)
        read_hook_secrets(options)
    except KeysError as wrong:
        raise SettingsError(str(wrong)) from None
    for path in open_secrets(options):
        yield f"Every user of this machine can read the secrets in {path}: chmod 600 it."


def main() -> int:
    """Reads everything; returns the exit status."""
    try:
        for warning in warnings_of(Settings.from_environment()):
            print(warning)
    except SettingsError as wrong:
        print(wrong, file=sys.stderr)
        return REFUSED
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
