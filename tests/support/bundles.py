"""The stock client for browsers, as `gateway client-bundle` fetches it."""

from __future__ import annotations

import shutil
from pathlib import Path

from gateway.web.bundle_files import DEFAULT_FOLDER, BundleError
from gateway.web.fetch_bundle import fetch
from tests.support.binaries import missing


def bundle(folder: Path) -> Path:
    """Puts the files into a folder: a copy of those that are there already, or from npm; else skips or fails the
    test."""
    if DEFAULT_FOLDER.is_dir():
        shutil.copytree(DEFAULT_FOLDER, folder, dirs_exist_ok=True)
        return folder
    try:
        fetch(folder)
    except BundleError as error:
        missing(str(error))
    return folder
