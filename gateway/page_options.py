"""The option of the page that people chat with. A group as those in `option_groups.py`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.option_types import choice, option


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """The page for trying it out."""

    page: str = option("GATEWAY_PAGE", "auto", choice("auto", "on", "off"),
        "Whether there is a page to chat with at `/` ([page.md](page.md)); `auto` serves it while `GATEWAY_AUTH` is "
        "off or the store is the embedded Valkey. Set `off` where only pages of your own shall be there. `/chat.js` is "
        "served in any case.")
# fmt: on
