"""The option of the official Socket.IO Admin UI. A group as those in `option_groups.py`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.option_types import option, switch


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class AdminUiOptions:
    """The official Socket.IO Admin UI."""

    is_on: bool = option("GATEWAY_ADMIN_UI", False, switch(),
        "Whether that UI may connect, as a reader: to the namespace `/admin`, with a key that has the scope `admin` in "
        "all rooms as its password ([admin.md](admin.md#the-socketio-admin-ui)). Without such a key nothing is there. "
        "Set `on` where the people who run it know that UI; the dashboard shows more.")
# fmt: on
