"""Servers that speak only TLS: Debian's redis-server (the embedded Valkey has no TLS), with certificates of ours."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.binaries import program
from tests.support.ports import Port

PASSWORD = "secret"


@contextmanager
def certificate(name: str) -> Iterator[Path]:
    """A folder with `certificate` and `key` for that name, such as `DNS:localhost`; it is its own authority."""
    with tempfile.TemporaryDirectory(prefix="tls-") as made:
        subprocess.run(
            [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", "key", "-out", "certificate", "-days", "2", "-subj", "/CN=localhost",
             "-addext", f"subjectAltName={name}"],
            cwd=made, check=True, capture_output=True,
        )  # fmt: skip
        yield Path(made)


@contextmanager
def tls_server(folder: Path, *options: str, password: str = PASSWORD) -> Iterator[int]:
    """The port of a server with the certificate of that folder."""
    words = ("--requirepass", password, "--save", "", "--appendonly", "no", *options)
    with _started(folder, words) as port:
        yield port


@contextmanager
def tls_sentinel(folder: Path, service: str, primary_port: int, password: str = PASSWORD) -> Iterator[int]:
    """The port of a Sentinel that watches a server of the same folder, both over TLS."""
    (folder / "sentinel.conf").write_text(
        f"sentinel monitor {service} 127.0.0.1 {primary_port} 1\nsentinel auth-pass {service} {password}\n"
        "tls-replication yes\ntls-ca-cert-file certificate\n"
    )
    with _started(folder, ("--sentinel",), "sentinel.conf") as port:
        yield port


@contextmanager
def _started(folder: Path, words: tuple[str, ...], *first: str) -> Iterator[int]:
    port = Port()
    process = subprocess.Popen(
        [program("redis-server"), *first, "--port", "0", "--tls-port", str(port.number), "--bind", "127.0.0.1",
         "--tls-cert-file", "certificate", "--tls-key-file", "key", "--tls-ca-cert-file", "certificate",
         "--tls-auth-clients", "no", *words],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield port.number
    finally:
        process.terminate()
        process.wait(timeout=5)
        port.release()
