"""How long a test lets Redis take, with the scripts loaded."""

from __future__ import annotations

from gateway.redis.connection import CommandOptions
from gateway.state.scripts import ALL

LIMITS = CommandOptions(timeout_s=2.0, unresponsive_s=5.0, scripts=ALL)
SHORT_LIMITS = CommandOptions(timeout_s=1.0, unresponsive_s=3.0, scripts=ALL)
