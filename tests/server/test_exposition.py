"""Metrics as Prometheus reads them: every line is one that its own parser takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from gateway import metrics
from gateway.api.methods import METHODS
from gateway.client_events import EVENTS_WITH_TOKENS
from gateway.metric_kinds import Counter
from gateway.protocol import ERRORS
from gateway.server import exposition
from gateway.server.exposition import Form, form_for, merged

SERIES_MAX = 400


def parsed(text: bytes, form: Form = Form.TEXT) -> dict[str, Family]:
    """The metrics of a text, by name."""
    read = (
        text_string_to_metric_families
        if form is Form.TEXT
        else openmetrics_parser.text_string_to_metric_families
    )
    families = list(read(text.decode()))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def value(families: dict[str, Family], sample: str, **labels: str) -> float:
    """The number of one series."""
    (found,) = [
        each.value
        for family in families.values()
        for each in family.samples
        if each.name == sample and each.labels == labels
    ]
    return found


@pytest.mark.parametrize("form", list(Form), ids=lambda form: form.name.lower())
def test_every_metric_is_read_back_as_what_it_is(form: Form) -> None:
    metrics.deaf.add(2)
    metrics.publish_seconds.observe(0.003)
    metrics.rooms.set(7)
    families = parsed(merged([exposition.text("3", form)], form), form)
    for metric in metrics.ALL:
        if isinstance(metric, Counter) and not list(metric.samples()):
            continue
        assert families[metric.name.removesuffix("_total")].type == metric.kind, metric.name
    assert value(families, "gateway_deaf_total", worker="3") == metrics.deaf.value
    assert value(families, "gateway_rooms", worker="3") == 7
    counted = value(families, "gateway_publish_seconds_count", worker="3")
    assert value(families, "gateway_publish_seconds_bucket", worker="3", le="+Inf") == counted
    assert value(families, "gateway_publish_seconds_bucket", worker="3", le="0.0025") < counted


@pytest.mark.parametrize("form", list(Form), ids=lambda form: form.name.lower())
def test_the_texts_of_many_workers_are_one_with_each_metric_once(form: Form) -> None:
    texts = [exposition.text(str(number), form) for number in range(16)]
    families = parsed(merged(texts, form, [16, 17]), form)
    up = {each.labels["worker"]: each.value for each in families["gateway_worker_up"].samples}
    assert [up[str(number)] for number in (16, 17)] == [0, 0]
    assert len(families["gateway_deaf"].samples) == 16
    assert {each.labels["worker"] for each in families["process_open_fds"].samples} == set(
        map(str, range(16))
    )


def test_whole_numbers_are_written_as_such() -> None:
    text = exposition.text("0")
    assert f'gateway_deaf_total{{worker="0"}} {metrics.deaf.value:.0f}\n'.encode() in text
    assert b'le="1.0",' in text


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.TEXT),
        ("*/*", Form.TEXT),
        ("text/plain;version=0.0.4;q=0.5", Form.TEXT),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Form.OPENMETRICS,
        ),
    ],
)
def test_the_form_is_what_the_client_reads(accept: str, form: Form) -> None:
    assert form_for(accept) is form
    assert form.content_type.startswith("text/plain" if form is Form.TEXT else "application/openmetrics-text")


def use_all() -> None:
    """Counts all that a worker can count, and prints how many series there are."""
    for method in METHODS:
        metrics.api_seconds.of(method).observe(1)
        metrics.api_requests.count(method, "200")
    for event in EVENTS_WITH_TOKENS:
        for code in ERRORS:
            metrics.refusals.count(event, code)
    for hook in ("connect", "join", "send", "a-webhook"):
        metrics.hook_seconds.of(hook).observe(1)
    for named in (
        metrics.webhook_posts,
        metrics.webhook_failures,
        metrics.webhook_gaps,
        metrics.webhook_backlog,
    ):
        named.count("a-webhook")
    lines = exposition.text("0").splitlines()
    print(sum(1 for line in lines if line and not line.startswith(b"#")))


def test_a_worker_of_which_all_is_used_has_at_most_400_series() -> None:
    """In a process of its own: what other tests have counted is there, too."""
    ask = "from tests.server.test_exposition import use_all; use_all()"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)
    assert 250 < int(done.stdout) <= SERIES_MAX
