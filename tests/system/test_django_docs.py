"""What docs/identity.md and docs/server-api.md show for Django, in processes of their own, as its settings are."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.access.signing_keys import keys_of_secrets
from gateway.access.tokens import TokenRules, header_of, verify
from gateway.access.verifying_keys import KeySet
from gateway.server.app import build_app
from tests.support.backends import key_for
from tests.support.gateways import REPOSITORY
from tests.support.serving import serving, settings
from tests.support.tokens import SECRET, secrets_file

SITE = """
import json, os, sys
import django
from django.conf import settings

sys.modules["site_of_the_test"] = sys.modules["__main__"]
settings.configure(
    SECRET_KEY="for tests", CHAT_SECRETS=os.environ["SECRETS"], CHAT_URL=os.environ["CHAT_URL"],
    CHAT_KEY=os.environ["CHAT_KEY"], ROOT_URLCONF="site_of_the_test", ALLOWED_HOSTS=["testserver"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, LOGIN_URL="/login",
)
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
"""Everything that a page takes for granted."""
ASKS = """
from django.contrib.auth.models import User
from django.test import Client
from django.urls import path

urlpatterns = [path("chat-token", chat_token)]
client = Client()
stranger = client.get("/chat-token").status_code
client.force_login(User.objects.create_user("Ada"))
answer = client.get("/chat-token")
print(json.dumps([stranger, answer.json()["token"], answer["Cache-Control"]]))
"""
SAYS = """
room = os.environ["ROOM"]
with transaction.atomic():
    say_later(room, "Your order has left.")
    before = len(chat.history(room).messages)
try:
    with transaction.atomic():
        say_later(room, "never")
        raise LookupError
except LookupError:
    pass
print(json.dumps([before, [each["message"] for each in chat.history(room).messages]]))
"""


def _shown(page: str, begins: str) -> str:
    """The program of a page."""
    (code,) = re.findall(rf"```python\n({begins}.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)
    return str(code)


def _run(folder: Path, code: str, **environment: str) -> Any:
    """What a program says at last, as JSON."""
    pytest.importorskip("django", reason="Django comes with the group `docs`")
    (folder / "program.py").write_text(f"{SITE}\n{code}")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "program.py"], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "SECRETS": "", "CHAT_URL": "http://127.0.0.1:1", "CHAT_KEY": "", **environment},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.long
def test_the_view_of_the_page_mints_a_token_that_counts(tmp_path: Path) -> None:
    file = secrets_file(tmp_path, ("2026-11", SECRET))
    code = _shown("docs/identity.md", "# views.py") + ASKS
    stranger, token, cached = _run(tmp_path, code, SECRETS=str(file))
    assert stranger == 302, "a stranger is sent to the login"
    assert "no-store" in cached
    keys = KeySet(keys_of_secrets(file.read_text()))
    identity, _ = verify(token, header_of(token), keys, TokenRules(), time.time())
    assert (identity.user, identity.name) == ("1", "Ada")
    assert identity.grants == {"lobby": {"join", "send"}}


async def test_what_is_said_later_waits_for_the_transaction(
    redis_url: str, room: str, tmp_path: Path
) -> None:
    key, configured = key_for()
    code = _shown("docs/server-api.md", "# chat.py") + SAYS
    async with serving(build_app(settings(redis_url, GATEWAY_API_KEYS=configured))) as url:
        said = await asyncio.to_thread(_run, tmp_path, code, CHAT_URL=url, CHAT_KEY=key, ROOM=room)
    assert said == [0, ["Your order has left."]]
