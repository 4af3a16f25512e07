"""Metrics as Prometheus reads them: one worker's by `prometheus_client`, and those of all workers put together.

Each worker writes its own lines, so that a scrape of many costs none of them more than its own; putting them together
is a matter of which lines belong to which metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum

from prometheus_client import ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry

from gateway import metrics
from gateway.metric_kinds import AnyMetric, Counter

END = b"# EOF\n"
"""Ends an OpenMetrics text."""

_PROCESS = ProcessCollector(registry=None)


class Form(Enum):
    """The two texts that Prometheus reads, by the word with which workers ask each other for one."""

    TEXT = b"text"
    OPENMETRICS = b"openmetrics"

    @property
    def content_type(self) -> str:
        """Its media type."""
        return CONTENT_TYPE_PLAIN_0_0_4 if self is Form.TEXT else openmetrics.CONTENT_TYPE_LATEST


def form_for(accept: str) -> Form:
    """What a client asks for by its header Accept."""
    return Form.OPENMETRICS if "application/openmetrics-text" in accept else Form.TEXT


class _Worker(Collector):
    """One worker's metrics, and those of its process."""

    def __init__(self, worker: str) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Family]:
        for each in metrics.ALL:
            yield _family(each, self._worker)
        for family in _PROCESS.collect():
            shown = Family(family.name, family.documentation, family.type)
            for sample in family.samples:
                shown.add_sample(sample.name, {"worker": self._worker, **sample.labels}, sample.value)
            yield shown


def _family(each: AnyMetric, worker: str) -> Family:
    family = Family(each.name.removesuffix("_total"), each.meaning, each.kind)
    if isinstance(each, Counter):
        for values, number in each.samples():
            family.add_sample(each.name, _labels(worker, each.labels, values), number)
        return family
    for values, buckets, total in each.histograms():
        labels = _labels(worker, each.labels, values)
        for bound, number in buckets:
            family.add_sample(f"{each.name}_bucket", {**labels, "le": bound}, number)
        family.add_sample(f"{each.name}_count", labels, buckets[-1][1])
        family.add_sample(f"{each.name}_sum", labels, total)
    return family


def _labels(worker: str, names: Iterable[str], values: Iterable[str]) -> dict[str, str]:
    return {"worker": worker, **dict(zip(names, values, strict=True))}


def text(worker: str, form: Form = Form.TEXT) -> bytes:
    """One worker's metrics. Whole numbers are written as such."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Worker(worker))
    write: Callable[[CollectorRegistry], bytes] = (
        generate_latest if form is Form.TEXT else openmetrics.generate_latest
    )
    return write(registry).replace(b".0\n", b"\n")


def merged(texts: Iterable[bytes], form: Form, missing: Iterable[int] = ()) -> bytes:
    """The texts of several workers as one: each metric once, with the lines of all. `missing` are the numbers of
    workers that should be there and did not answer."""
    heads: dict[bytes, bytes] = {}
    lines: dict[bytes, list[bytes]] = {}
    for one in texts:
        for name, head, samples in _families(one):
            heads.setdefault(name, head)
            lines.setdefault(name, []).append(samples)
    up = metrics.worker_up.name.encode()
    for number in missing:
        lines.setdefault(up, []).append(b'%b{worker="%d"} 0\n' % (up, number))
    whole = b"".join(head + b"".join(lines[name]) for name, head in heads.items())
    return whole + END if form is Form.OPENMETRICS else whole


def _families(text: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, head (what begins with `#`) and lines of each metric of a text."""
    for block in text.removesuffix(END).split(b"# HELP ")[1:]:
        name = block[: block.index(b" ")]
        kind = block.index(b"\n# TYPE ") + 1
        samples = block.index(b"\n", kind) + 1
        yield name, b"# HELP " + block[:samples], block[samples:]
