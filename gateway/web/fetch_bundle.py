"""`gateway client-bundle`: fetches the stock client from npm, checks each byte of it, and puts it into a folder.

Runs where an image is built, and in CI; never in a worker. Writes nothing before all files are checked. Imports the
standard library only, so that `python -m gateway.web.fetch_bundle --to FOLDER` runs before anything is installed.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from gateway.web.bundle_files import DEFAULT_FOLDER, HASHES, LICENSE, VERSION, BundleError, checked

PACKAGE = f"socket.io-client@{VERSION}"
LIMIT_S = 120.0


def fetch(folder: Path) -> None:
    """Fetches all files into a folder, which is made. Raises BundleError."""
    npm = shutil.which("npm")
    if npm is None:
        raise BundleError("npm is needed to fetch the client, and is not installed")
    with tempfile.TemporaryDirectory(prefix="client-bundle-") as place:
        files = unpacked(_packed(npm, Path(place)))
    write(folder, files)


def _packed(npm: str, place: Path) -> Path:
    command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(place)]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as late:
        raise BundleError(f"npm did not bring {PACKAGE} within {LIMIT_S:g} s") from late
    found = next(place.glob("*.tgz"), None)
    if done.returncode or found is None:
        raise BundleError(f"npm could not bring {PACKAGE}: {done.stderr.strip()[-400:]}")
    return found


def unpacked(archive: Path) -> dict[str, bytes]:
    """The files of an npm package that are served, and its licence, checked. Raises BundleError."""
    files = {}
    with tarfile.open(archive) as package:
        for name in (LICENSE, *HASHES):
            try:
                file = package.extractfile(f"package/{name if name == LICENSE else f'dist/{name}'}")
            except KeyError as missing:
                raise BundleError(f"{PACKAGE} has no {name}") from missing
            files[name] = checked(name, file.read() if file is not None else b"")
    return files


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Puts the files into a folder, each with its compressed form beside it, so that no worker compresses anything.
    Raises BundleError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in files.items():
            (folder / name).write_bytes(body)
            if name != LICENSE:
                (folder / f"{name}.gz").write_bytes(gzip.compress(body, 9, mtime=0))
    except OSError as error:
        raise BundleError(f"{folder} cannot be written: {error.strerror}") from error


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Fetches the stock Socket.IO client that the gateway serves."
    )
    parser.add_argument("--to", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    folder: Path = parser.parse_args().to
    try:
        fetch(folder)
    except BundleError as error:
        print(f"Error: {error}.", file=sys.stderr)
        return 1
    print(f"socket.io-client {VERSION}: {len(HASHES)} files in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
