"""Tokens that end under traffic: nothing is lost, and nobody stays away for good."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path

import pytest

from tests.support.topologies import standalone
from tests.support.waiting import stays
from tests.system.faults.repeated import repeated
from tests.system.faults.scene import Stage
from tests.system.faults.token_holders import SECRET, TokenHolder
from tests.system.faults.traffic import Shape

pytestmark = [pytest.mark.faults, pytest.mark.system]

GRACE_S = 5
MINUTES = 10
THOUSAND = Shape(rooms=250, people=4, talkers=2, pace_s=10.0)
"""A thousand people, 50 messages a second."""


def with_tokens(folder: Path) -> dict[str, str]:
    """Options of a gateway that lets in who has a token of `TokenHolder`'s secret."""
    secrets = folder / "secrets"
    secrets.write_text(f"k1:{base64.b64encode(SECRET).decode()}\n")
    secrets.chmod(0o600)
    return {
        "GATEWAY_AUTH": "required",
        "GATEWAY_TOKEN_SECRETS_FILE": str(secrets),
        "GATEWAY_TOKEN_GRACE_S": str(GRACE_S),
    }


@pytest.mark.timeout(1200)
@repeated(quick=None, long=MINUTES)
async def test_a_thousand_whose_tokens_end_each_minute_lose_nothing_and_all_come_back(
    stage: Stage, tmp_path: Path
) -> None:
    environment = with_tokens(tmp_path)
    async with stage.scene(
        standalone(), THOUSAND, workers=2, environment=environment, person_kind=TokenHolder
    ) as scene:
        traffic = scene.traffic
        for _ in range(stage.times):
            await stays(lambda: traffic.is_running, for_s=60)
        report = await scene.judge(limit_s=60)
        told: Counter[str] = Counter()
        for person in traffic.people:
            assert isinstance(person, TokenHolder)
            told += person.told
            assert person.errors["unauthorized"] == (
                0 if person.refreshes_in_place else person.connections - 1
            )
        print(dict(told), "connections", traffic.connections)
        assert told["not refreshed"] == told["broke"] == 0
        assert told["refreshed"] >= 400 * stage.times
        assert (report.lost, report.gaps) == (0, 0)
