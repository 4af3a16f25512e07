"""The description of the server API: valid, what the method table says, and what the gateway answers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.answers import status_of
from gateway.api.fields import fields_of
from gateway.api.methods import COMMON_ERRORS, METHODS
from gateway.api.openapi import document
from gateway.backend import Backend, calls
from gateway.protocol import Refusal
from gateway.server.app import build_app
from tests.support.backends import backend, key_for
from tests.support.servers import Valkey
from tests.support.serving import serving, settings

DOCUMENT: dict[str, Any] = json.loads(document())
SCHEMAS = DOCUMENT["components"]["schemas"]
STATUSES_OF_HTTP = {200, 415}
"""What every method may answer beside the codes of the table: 405 is another verb's."""
CASES = 5_000


def operation(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][f"/{name}"]["post"]
    return found


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return {**SCHEMAS[name], **schema} if name else schema


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_has_the_methods_of_the_table_and_no_others() -> None:
    assert list(DOCUMENT["paths"]) == [f"/{name}" for name in METHODS]
    assert [operation(name)["operationId"] for name in METHODS] == list(METHODS)


def test_a_batch_may_hold_all_methods_but_itself() -> None:
    assert SCHEMAS["Command"]["properties"]["method"]["enum"] == [name for name in METHODS if name != "batch"]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_the_fields_of_the_table(name: str) -> None:
    body = operation(name)["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    rows = fields_of(METHODS[name].request)
    needed = {row.name for row in rows if row.is_needed}
    assert set(schema["properties"]) == {row.name for row in rows}
    assert set(schema.get("required", ())) == needed
    assert body["required"] == bool(needed or schema.get("oneOf"))
    assert schema["additionalProperties"] is False
    for row in rows:
        described = resolved(schema["properties"][row.name])
        assert described.get("type", "any") == row.kind.json_type, row.name
        assert described["description"].startswith(row.meaning.replace("`", "")), row.name


@pytest.mark.parametrize("name", METHODS)
def test_a_method_answers_the_statuses_of_the_table(name: str) -> None:
    row = METHODS[name]
    codes = {status_of(Refusal(code)) for code in (*COMMON_ERRORS, *row.errors)}
    if name in ("publish", "broadcast"):
        codes.add(status_of(Refusal("bad_request", reason="key_reused")))
    assert {int(status) for status in operation(name)["responses"]} == codes | STATUSES_OF_HTTP
    assert operation(name)["x-scope"] == row.scope


@pytest.mark.parametrize("name", METHODS)
def test_a_method_answers_the_fields_of_the_table(name: str) -> None:
    schema = operation(name)["responses"]["200"]["content"]["application/json"]["schema"]
    for field in schema["properties"]:
        assert re.search(rf"\b{field}\b", METHODS[name].answers), field


@pytest.mark.parametrize("name", METHODS)
def test_the_client_for_backends_has_every_method_with_its_fields(name: str) -> None:
    given = {row.name for row in fields_of(METHODS[name].request)}
    arguments = {
        "publish": ("r", "m"), "broadcast": (["r"], "m"), "signal": ("k",), "rooms": (), "stats": (),
        "revoke": (), "ban": (), "unban": (), "batch": ([],), "disconnect": ("u",),
        "redact": ("r", "e:1"), "edit": ("r", "e:1", "m"),
    }.get(name, ("r",))  # fmt: skip
    call = getattr(calls, name)(*arguments)
    assert call.method == name
    assert callable(getattr(Backend, {"close": "close_room"}.get(name, name)))
    assert set(call.fields) == given


EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("publish", {"room": "doc", "message": "one", "idempotency_key": "k"}),
    ("publish", {"room": "doc", "message": "one", "idempotency_key": "k"}),
    ("publish", {"room": "doc", "message": "two", "idempotency_key": "k"}),
    ("broadcast", {"rooms": ["doc", "doc:2"], "message": "three"}),
    ("history", {"room": "doc"}),
    ("history", {"room": "doc", "after": "e:1"}),
    ("history", {"room": "nobody:was:here"}),
    ("members", {"room": "doc"}),
    ("room", {"room": "doc"}),
    ("rooms", {}),
    ("rooms", {"prefix": "d", "limit": 1}),
    ("stats", {}),
    ("signal", {"room": "doc", "kind": "typing"}),
    ("signal", {"kind": "typing"}),
    ("disconnect", {"user": "doc:user"}),
    ("ban", {"user": "doc:user"}),
    ("unban", {"user": "doc:user"}),
    ("revoke", {"user": "doc:user"}),
    ("revoke", {"user": "doc:user", "until": 1}),
    ("redact", {"room": "doc", "id": "nothing:1"}),
    ("mute", {"room": "doc", "user": "doc:user", "for_s": 5}),
    ("unmute", {"room": "doc", "user": "doc:user"}),
    ("kick", {"room": "doc", "username": "Ada"}),
    ("kick", {"room": "doc"}),
    ("slow", {"room": "doc", "seconds": 2}),
    ("close", {"room": "doc", "reason": "Tidying up."}),
    ("reopen", {"room": "doc"}),
    ("batch", {"commands": [{"method": "room", "room": "doc"}, {"method": "nothing"}]}),
]


async def test_what_the_gateway_answers_is_as_described(redis_url: str, room: str) -> None:
    key, configured = key_for()
    resolver = {"$defs": SCHEMAS}
    async with serving(build_app(settings(redis_url, GATEWAY_API_KEYS=configured))) as url:
        async with backend(url, key) as caller:
            for method, fields in EXAMPLES:
                answer = await caller.call(method, **_in(room, fields))
                response = operation(method)["responses"][str(answer.status)]
                name = response.get("$ref", "").rpartition("/")[2]
                response = DOCUMENT["components"]["responses"][name] if name else response
                schema = json.dumps({**response["content"]["application/json"]["schema"], **resolver})
                schema = schema.replace("#/components/schemas/", "#/$defs/")
                jsonschema.Draft202012Validator(json.loads(schema)).validate(answer.data)


def _in(room: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The same in a room of this test."""
    return json.loads(json.dumps(fields).replace('"doc', f'"{room}'))  # type: ignore[no-any-return]


async def test_it_is_served_without_a_key_where_there_are_keys(redis_url: str) -> None:
    async with aiohttp.ClientSession() as http:
        app = build_app(settings(redis_url, GATEWAY_API_KEYS=key_for()[1], GATEWAY_PATH_PREFIX="/chat"))
        async with serving(app) as url, http.get(f"{url}/chat/api/v1/openapi.json") as response:
            assert (response.status, await response.json()) == (200, DOCUMENT)
            assert "Access-Control-Allow-Origin" not in response.headers
        async with serving(build_app(settings(redis_url))) as url:
            async with http.get(f"{url}/api/v1/openapi.json") as response:
                assert response.status == 404


@pytest.mark.long
@pytest.mark.system
@pytest.mark.timeout(900)
async def test_thousands_of_made_up_requests_are_answered_without_a_500(
    server: Valkey, tmp_path: Path
) -> None:
    """Schemathesis makes them from the description, right ones and wrong ones; each answer must be as described. The
    Redis is its own: who is banned by chance is banned nowhere else."""
    if shutil.which("schemathesis", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("needs schemathesis: uv sync --group fuzz")
    key, configured = key_for()
    (tmp_path / "openapi.json").write_bytes(document())
    command = (
        str(Path(sys.executable).parent / "schemathesis"), "run", "openapi.json", "--header",
        f"Authorization: Bearer {key}", "--max-examples", str(CASES // len(METHODS)), "--phases",
        "examples,coverage,fuzzing", "--seed", "10", "--continue-on-failure", "--no-color", "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--generation-database", "none", "--suppress-health-check", "all",
    )  # fmt: skip
    async with serving(build_app(settings(server.url, GATEWAY_API_KEYS=configured))) as url:
        told = await _run((*command, "--url", f"{url}/api/v1"), tmp_path)
    print(told[-3000:])
    cases = re.search(r"([\d,]+) generated", told)
    assert cases is not None, told[-3000:]
    assert int(cases[1].replace(",", "")) >= CASES


async def _run(command: tuple[str, ...], folder: Path) -> str:

    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await process.communicate()
    text = out.decode(errors="replace")
    assert process.returncode == 0, text[-6000:]
    return text
