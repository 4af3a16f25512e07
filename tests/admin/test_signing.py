"""Who is signed in to the dashboard, and until when."""

from __future__ import annotations

from pathlib import Path

from gateway.access.api_keys import ADMIN, READ, SCOPES, ApiKey, ApiKeys, ConfiguredKey, digest_of
from gateway.admin.signing import DAY_S, LIFE_S, Signing, may_sign_in, shared_secret

SECRET = b"s" * 32
OPS = ApiKey("ops", frozenset(SCOPES))
NOW_S = 1_000_000.0


def keys(key: ApiKey = OPS, text: str = "a key") -> ApiKeys:
    return ApiKeys([ConfiguredKey(key, digest_of(text), "here")])


def test_a_cookie_counts_for_a_while_and_longer_while_it_is_used() -> None:
    signing = Signing(keys(), SECRET)
    signed = signing.begin(OPS, NOW_S)
    cookie = signing.cookie(signed)
    assert signing.read(cookie, NOW_S + LIFE_S - 1) == signed
    assert signing.read(cookie, NOW_S + LIFE_S) is None
    longer = signing.renewed(signed, NOW_S + LIFE_S - 1)
    assert signing.read(signing.cookie(longer), NOW_S + LIFE_S + 1) == longer
    at_last = signing.renewed(signed, NOW_S + DAY_S - 5)
    assert signing.read(signing.cookie(at_last), NOW_S + DAY_S) is None


def test_what_was_changed_or_signed_by_another_secret_or_for_another_key_does_not_count() -> None:
    signing = Signing(keys(), SECRET)
    cookie = signing.cookie(signing.begin(OPS, NOW_S))
    assert Signing(keys(), b"t" * 32).read(cookie, NOW_S) is None
    assert Signing(keys(text="a newer key"), SECRET).read(cookie, NOW_S) is None
    assert Signing(keys(ApiKey("another", frozenset(SCOPES))), SECRET).read(cookie, NOW_S) is None
    assert Signing(keys(ApiKey("ops", frozenset((READ,)))), SECRET).read(cookie, NOW_S) is None
    for at in range(len(cookie)):
        changed = cookie[:at] + ("0" if cookie[at] != "0" else "1") + cookie[at + 1 :]
        assert signing.read(changed, NOW_S) is None
    for malformed in ("", ":", "::::", "ops", "ops:1:2:3:", "ops:1:2:3:é", "x" * 5000, cookie + "0"):
        assert signing.read(malformed, NOW_S) is None


def test_a_forms_token_is_one_sessions_own() -> None:
    signing = Signing(keys(), SECRET)
    mine, yours = signing.begin(OPS, NOW_S), signing.begin(OPS, NOW_S)
    assert signing.is_form_token(mine, signing.form_token(mine))
    assert not signing.is_form_token(mine, signing.form_token(yours))
    assert not signing.is_form_token(mine, "é")


def test_only_a_key_for_admin_in_all_rooms_opens_the_dashboard() -> None:
    assert may_sign_in(ApiKey("a", frozenset((ADMIN,))))
    assert not may_sign_in(ApiKey("a", frozenset((ADMIN,)), ("support:**",)))
    assert not may_sign_in(ApiKey("a", frozenset(SCOPES) - {ADMIN}))


def test_workers_that_share_a_folder_share_the_secret(tmp_path: Path) -> None:
    secret = shared_secret(str(tmp_path))
    assert shared_secret(str(tmp_path)) == secret
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert shared_secret(None) != secret
