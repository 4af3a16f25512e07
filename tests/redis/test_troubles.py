"""What an error of Redis means, in one sentence: the words that Valkey 9 and Redis 7 send."""

from __future__ import annotations

import pytest

from gateway.redis.connection import as_store_error
from gateway.redis.troubles import trouble_with

MISSING = (
    "does not allow this user what the gateway needs: User gw has no permissions to run the 'hset' command"
)


@pytest.mark.parametrize(
    ("text", "sentence", "advice"),
    [
        (
            "ERR ACL failure in script: User gw has no permissions to run the 'hset' command "
            "script: on @user_script:36.",
            MISSING,
            "correct the user",
        ),
        (
            "ERR ACL failure in script: User gw has no permissions to run the 'hset' command "
            "script: 6d0da0c1, on @user_script:36.",
            MISSING,
            "correct the user",
        ),
        (
            "NOPERM User gw has no permissions to run the 'hset' command",
            MISSING,
            "correct the user",
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'. script: 6d0da0c1, on @user_script:3.",
            "is full: command not allowed when used memory > 'maxmemory'",
            "raise maxmemory",
        ),
        (
            "WRONGTYPE Operation against a key holding the wrong kind of value script: on @user_script:8.",
            "holds something of another kind under one of the gateway's names: "
            "Operation against a key holding the wrong kind of value",
            "GATEWAY_PREFIX",
        ),
    ],
    ids=["a right in a script", "the same of Redis", "a right", "memory in a script", "another's key"],
)
def test_it_says_what_is_missing_and_what_helps_and_no_place_in_a_script(
    text: str, sentence: str, advice: str
) -> None:
    trouble = trouble_with("Redis", as_store_error(text))
    assert trouble.sentence.rstrip(".") == f"Redis {sentence}"
    assert advice in trouble.advice
