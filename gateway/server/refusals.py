"""Options of gunicorn that cannot work with the gateway, each with the sentence that refuses it at the start.

gunicorn takes them, and what would go wrong would go wrong later, for some clients only. Example: with a certificate
and four workers a session that polls is unknown to three of them, because a TLS connection cannot be passed on.

Judges values; no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gunicorn.config import AccessLogFormat

from gateway.option_types import SettingsError

WORKER_CLASS = "gateway.server.fresh_worker.FreshWorker"

_REFUSED: tuple[tuple[Callable[[Any], object], str], ...] = (
    (lambda cfg: cfg.worker_class_str != WORKER_CLASS,
     "--worker-class is not allowed: the gateway has its own. Leave it out"),
    (lambda cfg: cfg.is_ssl and cfg.workers > 1,
     "--certfile and --keyfile are not allowed with several workers: a TLS connection cannot be passed from one to "
     "another. End TLS at a balancer (deploy/), or set WEB_CONCURRENCY=1"),
    (lambda cfg: any(isinstance(address, str | bytes) for address in cfg.address),
     "--bind unix: is not allowed: clients would have no address. Bind an address of the host, such as 127.0.0.1:8006"),
    (lambda cfg: cfg.proxy_protocol not in (False, "off"),
     "--proxy-protocol is not allowed: the gateway does not read it. Let the balancer set X-Forwarded-For, and name it "
     "in GATEWAY_TRUSTED_PROXIES"),
    (lambda cfg: cfg.protocol != "http",
     "--protocol is not allowed: the gateway speaks HTTP"),
    (lambda cfg: cfg.access_log_format != AccessLogFormat.default,
     "--access-logformat is not allowed: the lines have fields (GATEWAY_LOG_FORMAT), and never a session's id"),
    (lambda cfg: cfg.preload_app,
     "--preload is not allowed: workers would keep the code of the start through every reload"),
)  # fmt: skip


def refuse_what_cannot_work(cfg: Any) -> None:
    """Raises SettingsError with one sentence for the first option of gunicorn's that cannot work."""
    for is_set, sentence in _REFUSED:
        if is_set(cfg):
            raise SettingsError(sentence)
