"""How long a test lets Redis take, with the scripts loaded."""

from __future__ import annotations

from gateway.redis.connection import CommandOptions
from tests.support.scripts import KNOWN

LIMITS = CommandOptions(timeout_s=2.0, unresponsive_s=5.0, scripts=KNOWN)
SHORT_LIMITS = CommandOptions(timeout_s=1.0, unresponsive_s=3.0, scripts=KNOWN)
