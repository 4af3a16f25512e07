"""The stock client, served as Node's server does: its bytes, its headers, and what is not served."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.server.app import build_app
from gateway.web.bundle import read_bundle
from gateway.web.bundle_files import HASHES, VERSION, BundleError, checked
from gateway.web.fetch_bundle import unpacked, write
from tests.support.bundles import bundle
from tests.support.serving import serving, settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("bundle"))


@asynccontextmanager
async def asking(redis_url: str, folder: Path, **more: str) -> AsyncIterator[aiohttp.ClientSession]:
    app = build_app(settings(redis_url, GATEWAY_CLIENT_DIR=str(folder), **more))
    async with serving(app) as url, aiohttp.ClientSession(url, auto_decompress=False) as session:
        yield session


async def test_every_file_is_served_with_the_headers_of_node(redis_url: str, folder: Path) -> None:
    async with asking(redis_url, folder) as session:
        for name in HASHES:
            async with session.get(f"/socket.io/{name}", headers={"Accept-Encoding": "identity"}) as plain:
                checked(name, await plain.read())
                kind = "application/json" if name.endswith(".map") else "application/javascript"
                assert plain.headers["Content-Type"] == f"{kind}; charset=utf-8"
                assert plain.headers["ETag"] == f'"{VERSION}"'
                assert plain.headers["Cache-Control"] == "public, max-age=0"
                assert plain.headers["X-Content-Type-Options"] == "nosniff"
                length = plain.headers["Content-Length"]
            async with session.head(f"/socket.io/{name}", headers={"Accept-Encoding": "identity"}) as head:
                assert (head.status, head.headers["Content-Length"], await head.read()) == (200, length, b"")
            async with session.get(
                f"/socket.io/{name}?v=1", headers={"Accept-Encoding": "gzip, br"}
            ) as packed:
                assert packed.headers["Content-Encoding"] == "gzip"
                checked(name, gzip.decompress(await packed.read()))


@pytest.mark.parametrize("tag", [f'"{VERSION}"', f'W/"{VERSION}"', f'"old", W/"{VERSION}"', "*"])
async def test_who_has_this_release_gets_304(redis_url: str, folder: Path, tag: str) -> None:
    async with asking(redis_url, folder) as session:
        for method in ("GET", "HEAD"):
            async with session.request(
                method, "/socket.io/socket.io.js", headers={"If-None-Match": tag}
            ) as answer:
                assert (answer.status, answer.headers["ETag"]) == (304, f'"{VERSION}"')
        async with session.get("/socket.io/socket.io.js", headers={"If-None-Match": '"4.7.0"'}) as answer:
            assert answer.status == 200


async def test_it_stands_below_the_path_of_socket_io(redis_url: str, folder: Path) -> None:
    async with asking(redis_url, folder, GATEWAY_PATH="/chat", GATEWAY_PATH_PREFIX="/app") as session:
        async with session.get("/app/chat/socket.io.min.js") as answer:
            assert answer.status == 200
        async with session.get("/socket.io/socket.io.min.js") as answer:
            assert answer.status == 404


async def test_nothing_is_served_where_it_is_off_or_not_there_or_not_the_release(
    redis_url: str, folder: Path, tmp_path: Path
) -> None:
    changed = bundle(tmp_path / "changed")
    (changed / "socket.io.min.js").write_text("alert(1)")
    for where, more in ((folder, "off"), (tmp_path / "empty", "on"), (changed, "on")):
        async with asking(redis_url, where, GATEWAY_SERVE_CLIENT=more) as session:
            for path in ("/socket.io/socket.io.js", "/socket.io/LICENSE", "/socket.io/../LICENSE"):
                async with session.get(path) as answer:
                    assert answer.status == 404
            async with session.get("/socket.io/?EIO=4&transport=polling") as answer:
                assert answer.status == 200, "people can chat all the same"


def test_a_compressed_file_that_is_another_is_found(folder: Path, tmp_path: Path) -> None:
    changed = bundle(tmp_path / "changed")
    (changed / "socket.io.js.gz").write_bytes(gzip.compress(b"alert(1)"))
    with pytest.raises(BundleError, match=r"socket\.io\.js\.gz"):
        read_bundle(changed)


def test_a_package_with_other_bytes_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as package:
        entry = tarfile.TarInfo("package/LICENSE")
        entry.size = 3
        package.addfile(entry, io.BytesIO(b"MIT"))
    with pytest.raises(BundleError, match="LICENSE is not the file"):
        unpacked(archive)
    with pytest.raises(BundleError, match="cannot be written"):
        write(archive, {})


def test_an_image_fetches_it_before_anything_is_installed() -> None:
    """The module imports the standard library only."""
    code = "import sys, gateway.web.fetch_bundle; print(' '.join(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = {each.partition(".")[0] for each in ran.stdout.split()}
    assert not loaded & {"aiohttp", "click", "structlog", "socketio"}
