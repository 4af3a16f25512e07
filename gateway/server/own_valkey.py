"""The Valkey of one worker that has neither a master nor a REDIS_URL."""

from __future__ import annotations

from contextlib import AsyncExitStack

from gateway.background import Background
from gateway.option_groups import EmbeddedOptions
from gateway.server.embedded import EmbeddedValkey
from gateway.server.embedded_folder import state_folder


def start_own(options: EmbeddedOptions, stack: AsyncExitStack, background: Background) -> str:
    """Starts it, until the stack ends; returns its URL."""
    valkey = EmbeddedValkey.start(state_folder(options.state_dir), options.port, options.max_mib)
    stack.callback(valkey.stop)
    stack.push_async_callback(background.close)
    background.keep(valkey.keep_running(), "embedded Valkey")
    return valkey.url
