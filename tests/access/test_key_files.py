"""Files of keys: read, read again when they change, and never given up for a worse one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.access.key_files import FileKeys, open_secrets, read_keys
from gateway.access.signing_keys import KeysError
from gateway.identity_options import IdentityOptions
from tests.support.tokens import OTHER_SECRET, SECRET, pem, rsa_key, secrets_file


def of_secrets(file: Path) -> IdentityOptions:
    return IdentityOptions(auth="required", secrets_file=str(file))


async def names(keys: FileKeys) -> list[str]:
    return [key.kid for key in (await keys.keys_for(None)).keys]


async def test_a_file_that_changes_is_read_again_and_a_key_that_went_does_not_count(tmp_path: Path) -> None:
    file = secrets_file(tmp_path, ("old", SECRET))
    keys = FileKeys(of_secrets(file))
    (old,) = (await keys.keys_for("old")).keys
    secrets_file(tmp_path, ("new", OTHER_SECRET), ("old", SECRET))
    keys.look()
    assert await names(keys) == ["new", "old"]
    assert keys.holds(old), "two reads of one key are one key"
    secrets_file(tmp_path, ("new", OTHER_SECRET))
    keys.look()
    assert not keys.holds(old)


async def test_a_file_that_is_changed_wrongly_keeps_the_keys_from_before(tmp_path: Path) -> None:
    file = secrets_file(tmp_path, ("old", SECRET))
    keys = FileKeys(of_secrets(file))
    for wrong in ("old:short", None):
        file.write_text(wrong) if wrong is not None else file.unlink()
        keys.look()
        assert (await names(keys), keys.trouble) == (["old"], None)


async def test_a_worker_that_starts_with_a_bad_file_has_trouble_until_it_is_right(tmp_path: Path) -> None:
    keys = FileKeys(of_secrets(tmp_path / "secrets"))
    assert keys.trouble is not None
    assert "No such file" in keys.trouble.sentence
    assert await names(keys) == []
    secrets_file(tmp_path, ("new", SECRET))
    keys.look()
    assert await names(keys) == ["new"]
    assert keys.trouble is None, "it has them"


def test_a_file_is_named_by_its_variable_when_it_cannot_be_used(tmp_path: Path) -> None:
    file = secrets_file(tmp_path)
    public = tmp_path / "public"
    public.write_text(pem(rsa_key()))
    assert len(read_keys(IdentityOptions(keys_file=str(public)))) == 1
    cases: dict[str, dict[str, Any]] = {
        "GATEWAY_TOKEN_SECRETS_FILE='/nowhere/x' is not allowed: it cannot be read: No such file": {
            "secrets_file": "/nowhere/x"
        },
        "it is no file": {"secrets_file": str(tmp_path)},
        "GATEWAY_TOKEN_KEYS_FILE": {"keys_file": str(file)},
    }
    for sentence, where in cases.items():
        with pytest.raises(KeysError) as refused:
            read_keys(IdentityOptions(**where))
        assert sentence in str(refused.value)


def test_a_file_that_anybody_can_write_is_refused_and_secrets_that_anybody_can_read_are_told(
    tmp_path: Path,
) -> None:
    file = secrets_file(tmp_path)
    assert open_secrets(of_secrets(file)) == []
    os.chmod(file, 0o644)
    assert open_secrets(of_secrets(file)) == [str(file)]
    assert len(read_keys(of_secrets(file))) == 1
    os.chmod(file, 0o602)
    with pytest.raises(KeysError, match="anybody can write to it"):
        read_keys(of_secrets(file))
