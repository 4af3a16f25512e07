"""The worker class that gunicorn's master knows: it imports the gateway when the worker starts, not before.

A reload (HUP, `--reload`) makes new workers by forking the master. What the master has imported, they would have, too:
with the worker of `worker.py` as its class the master holds the whole package, and a security fix that was rolled out
by `systemctl reload` is not rolled out. So the master imports this module, its configuration, and nothing else of the
package; and a worker first forgets even these.

What the master itself runs on stays as it was started: `gunicorn_conf.py` and what that imports (`settings`, `logs`,
`embedded`), gunicorn, structlog, orjson. New workers import the package's own modules anew. For new versions of the
three libraries, restart.

Imports nothing of the gateway.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from gunicorn.workers.base import Worker

PACKAGE = "gateway"
REAL = f"{PACKAGE}.server.worker"


def forget_package() -> None:
    """The next import of the gateway's modules reads them from the disk."""
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()


class FreshWorker(Worker):  # type: ignore[misc]
    """A worker that becomes a `GatewayWorker` once it is a process of its own."""

    def init_process(self) -> None:
        """Imports the gateway, and runs its worker in place of this one."""
        forget_package()
        worker: Any = importlib.import_module(REAL).GatewayWorker(
            self.age, self.ppid, self.sockets, self.app, self.timeout, self.cfg, self.log
        )
        worker.tmp.close()
        worker.tmp, worker.pid = self.tmp, self.pid  # the master watches this file for signs of life
        try:
            worker.init_process()
        finally:
            self.booted = worker.booted  # the master's fork looks here whether the start failed
