"""How the tests are spread over several processes by `pytest -n`: what shares servers stays together."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/system/conformance/",)
"""Folders whose modules share servers."""


class InFolders(LoadScopeScheduling):  # type: ignore[misc]
    """A module at a time, or such a folder, in their order: the last ones are short, so that all processes end at
    about the same time. The tests of the built thing come after most others: their gateways live until the end of the
    run, and would clean up after what other tests leave for dead in the same Redis."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        """What a test belongs to."""
        folder = next((each for each in TOGETHER if nodeid.startswith(each)), None)
        return folder or nodeid.partition("::")[0]
