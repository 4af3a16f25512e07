"""What `chat.d.ts` says, read by TypeScript as it reads it for somebody's application."""

from __future__ import annotations

import asyncio
import re
import subprocess

import pytest

from gateway.web.page import FOLDER
from tests.support.stock_clients import JS_FOLDER

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("javascript")]
NAMES = re.compile(r"^  (?:readonly )?(\w+)\??[(:]", re.MULTILINE)
EVENTS = re.compile(r"on\(event: ([^,]+),")


async def test_a_strict_program_that_uses_everything_and_the_react_component_have_no_error() -> None:
    compiler = await asyncio.create_subprocess_exec(
        JS_FOLDER / "node_modules/.bin/tsc", "-p", ".", cwd=JS_FOLDER, stdout=subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(compiler.communicate(), 60)
    assert (compiler.returncode, said.decode()) == (0, "")


def test_that_program_does_use_everything() -> None:
    types, program = (FOLDER / "chat.d.ts").read_text(), (JS_FOLDER / "everything.ts").read_text()
    named = {*NAMES.findall(types), *re.findall(r"export (?:interface|type|function) (\w+)", types)} - {
        "on",
        "ok",
    }
    assert len(named) > 50
    assert {each for each in named if not re.search(rf"\b{each}\b", program)} == set()
    events = {each for found in EVENTS.findall(types) for each in re.findall(r"'(\w+)'", found)}
    assert {each for each in events if f".on('{each}'" not in program} == set()
