"""URLs of Redis: read in one place for every topology, refused without a word of the password."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.option_types import SettingsError
from gateway.redis.address import endpoint_of
from gateway.redis.cluster.slot_map import seeds_of
from gateway.redis.sentinel import SentinelFinder
from gateway.redis_url import Topology, UrlError, read_redis_url, shown
from gateway.settings import Settings

SECRET = "Tr0ub4dor"
SCHEMES = [
    f"{product}{tls}{behind}://"
    for product in ("redis", "valkey")
    for tls in ("", "s")
    for behind in ("", "+sentinel", "+cluster")
]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_topology_of_both_products_is_read_with_and_without_tls(scheme: str) -> None:
    found = read_redis_url(f"{scheme}ann:p%40ss%2Fword@h.example:7000")
    wanted = {"sentinel": Topology.SENTINEL, "cluster": Topology.CLUSTER}
    assert found.topology is wanted.get(scheme.partition("+")[2].removesuffix("://"), Topology.ALONE)
    assert (found.tls is not None) == scheme.startswith(("rediss", "valkeys"))
    assert (found.username, found.password, found.hosts) == ("ann", "p@ss/word", (("h.example", 7000),))
    assert Settings.from_environment({"REDIS_URL": f"{scheme}h"}).redis.url == f"{scheme}h"


def test_several_hosts_the_database_and_the_service_are_read() -> None:
    found = read_redis_url("redis+sentinel://:word@a:1,b,[::1]:3/2/mine")
    assert found.hosts == (("a", 1), ("b", 26379), ("::1", 3))
    assert (found.database, found.service) == (2, "mine")
    assert read_redis_url("redis+sentinel://a").service == "mymaster"
    assert read_redis_url("redis+cluster://a,b:7001").hosts == (("a", 6379), ("b", 7001))


def test_a_socket_a_database_by_name_and_ipv6_are_read() -> None:
    assert read_redis_url("unix://ann:word@/run/r.sock?db=2").path == "/run/r.sock"
    assert read_redis_url("redis://h?db=5").database == 5
    assert read_redis_url("redis://[fd00::7]:7000/1").hosts == (("fd00::7", 7000),)


def test_the_secret_is_in_no_name_and_no_representation() -> None:
    url = f"redis://ann:{SECRET}@h:1/0"
    for told in (shown(url), repr(read_redis_url(url)), repr(endpoint_of(url)), str(endpoint_of(url))):
        assert SECRET not in told


WRONG = [
    ("{s}", "a URL such as"),
    ("{s}://h", "a URL such as"),
    ("ann:{s}@h", "a URL such as"),
    ("https://ann:{s}@h", "a URL such as"),
    ("redis:/ann:{s}@h", "a URL such as"),
    ("redis://:{s}:6379", "port must be a number"),
    ("redis://ann:{s}", "port must be a number"),
    ("redis://ann:{s}@h:x{s}", "port must be a number"),
    ("redis://ann:{s}@h:0", "port must be a number"),
    ("redis://ann:{s}@h:70000", "port must be a number"),
    ("redis://ann:{s}/x@h", "percent-encode"),
    ("redis://ann:{s}?x@h", "percent-encode"),
    ("redis://ann:{s}#x@h", "percent-encode"),
    ("redis://ann:x/{s}@h", "percent-encode"),
    ("redis://ann:12/{s}@h", "percent-encode"),
    ("redis://ann:12?{s}@h", "percent-encode"),
    ("redis://ann:12#{s}@h", "percent-encode"),
    ("redis://ann:{s}@h/zero", "must be a number"),
    ("redis://ann:{s}@h/0/1", "nothing but the number"),
    ("redis://ann:{s}@h/0?db=1", "database twice"),
    ("redis://ann:{s}@h/0?pasword={s}", "may stand db, username"),
    ("redis://ann:{s}@h?ssl_ca_certs=/x", "begin with rediss"),
    ("redis://ann:{s}@a,b", "several hosts"),
    ("redis://ann:{s}@h]", "a host is a name"),
    ("rediss://ann:{s}@h?ssl_cert_reqs=perhaps", "required, optional or none"),
    ("rediss://ann:{s}@h?ssl_ca_certs=/no/such/file", "/no/such/file cannot be used: No such file"),
    ("rediss://ann:{s}@h?ssl_certfile=/no/such/file", "/no/such/file cannot be used: No such file"),
    ("rediss://ann:{s}@h?ssl_ca_certs=/etc/passwd", "it is no certificate"),
    ("unix://ann:{s}@run/r.sock", "the whole path"),
    ("redis+sentinel://ann:{s}@", "names no host"),
    ("redis+sentinel://ann:{s}@a,,b", "names no host"),
    ("redis+sentinel://ann:{s}@a:x/0/mine", "port must be a number"),
    ("redis+sentinel://ann:{s}@a/mine", "must be a number"),
    ("redis+sentinel://ann:{s}/x@a/0/mine", "percent-encode"),
    ("rediss+sentinel://ann:{s}@a/0/mine?ssl_ca_certs=/no/such/file", "No such file"),
    ("redis+cluster://ann:{s}@", "names no host"),
    ("redis+cluster://ann:{s}@a:x", "port must be a number"),
    ("redis+cluster://ann:{s}@a/3", "no database but 0"),
    ("rediss+cluster://ann:{s}@a?ssl_ca_certs=/no/such/file", "No such file"),
]


@pytest.mark.parametrize(("url", "sentence"), WRONG)
def test_a_wrong_url_stops_the_start_by_a_sentence_without_the_password(url: str, sentence: str) -> None:
    text = url.format(s=SECRET)
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"REDIS_URL": text})
    told = str(refused.value)
    assert told.startswith("REDIS_URL='")
    assert sentence in told
    whole = told + repr(refused.value) + repr(refused.value.__cause__)
    parts = {SECRET[start : start + 4] for start in range(len(SECRET) - 3)}
    assert not [part for part in parts if part in whole]


@pytest.mark.parametrize("read", [endpoint_of, seeds_of, SentinelFinder])
def test_every_reader_refuses_with_the_same_kind_of_error(read: type) -> None:
    for url in ("redis://h:x", "redis+sentinel://h:x", "rediss+cluster://h?ssl_ca_certs=/no/such/file"):
        with pytest.raises(UrlError):
            read(url)


def test_a_certificate_whose_key_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("no certificate")
    with pytest.raises(UrlError, match=r"own and /no/key cannot be used"):
        read_redis_url(f"rediss://h?ssl_certfile={tmp_path}/own&ssl_keyfile=/no/key")
