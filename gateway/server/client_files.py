"""The stock client for browsers, in a worker: served where its folder is there and it is not switched off."""

from __future__ import annotations

from pathlib import Path

import structlog
from aiohttp import web

from gateway.settings import Settings
from gateway.web.bundle import read_bundle, serve_bundle
from gateway.web.bundle_files import DEFAULT_FOLDER, BundleError

log = structlog.get_logger("gateway.server")


def serve_client(app: web.Application, settings: Settings) -> None:
    """Serves the files below the path of Socket.IO. What is no file of the release is told in the log, and not served:
    people can chat without it."""
    options, server = settings.client_bundle, settings.server
    if options.serve == "off":
        return
    try:
        files = read_bundle(Path(options.folder) if options.folder is not None else DEFAULT_FOLDER)
    except BundleError as error:
        log.error("client_bundle_not_served", reason=str(error))
        return
    serve_bundle(app, f"{server.path_prefix}{server.path}", files)
