"""The options of webhooks, beside what `[[webhook]]` of the configuration file says of each.

A group as those in `option_groups.py`, with a file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.option_types import option, seconds


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """What happens to webhooks that are away; which there are says `[[webhook]]` in `GATEWAY_CONFIG`."""

    retry_s: float = option("GATEWAY_WEBHOOK_RETRY_S", 3600.0, seconds(1, 604_800),
        "How long messages are posted again to a webhook that does not take them; then it gets a `gap` instead. Raise "
        "it with the longest outage of the application that you want to bridge, for rooms in which little is said.")
# fmt: on
