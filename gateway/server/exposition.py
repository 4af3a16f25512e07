"""Metrics as Prometheus reads them: one worker's by `prometheus_client`, and those of all workers put together.

Each worker writes its own lines, so that a scrape of many costs none of them more than its own; putting them together
is a matter of which lines belong to which metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from prometheus_client import ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import CollectorRegistry
from prometheus_client.utils import floatToGoString

from gateway import metrics
from gateway.metric_kinds import AnyMetric, Counter, Labels

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


class _One(CollectorRegistry):
    """A registry with one metric."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self._family = family

    def collect(self) -> Iterator[Family]:
        yield self._family


def _process(worker: str) -> Iterator[Family]:
    """The metrics of this process."""
    for family in _PROCESS.collect():
        shown = Family(family.name, family.documentation, family.type)
        for sample in family.samples:
            shown.add_sample(sample.name, {"worker": worker, **sample.labels}, sample.value)
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


class Exposition:
    """One worker's metrics as text. What stands before the numbers is written by `prometheus_client` when a metric gets
    another series, and kept: it is most of the work, and nearly always the same."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._kept: dict[tuple[str, Form], tuple[list[Labels], bytes, list[bytes]]] = {}

    def text(self, form: Form = Form.TEXT) -> bytes:
        """All of them. Whole numbers are written as such."""
        parts: list[bytes] = []
        for each in metrics.ALL:
            series, numbers = _numbers(each)
            kept = self._kept.get((each.name, form))
            if kept is None or kept[0] != series:
                kept = self._kept[each.name, form] = (series, *_written(_family(each, self._worker), form))
            parts.append(kept[1])
            parts += [before + _shown(number) for before, number in zip(kept[2], numbers, strict=True)]
        for family in _process(self._worker):
            head, lines = _written(family, form)
            parts.append(head)
            samples = zip(lines, family.samples, strict=True)
            parts += [before + _shown(sample.value) for before, sample in samples]
        return b"".join(parts) + (END if form is Form.OPENMETRICS else b"")


def text(worker: str, form: Form = Form.TEXT) -> bytes:
    """One worker's metrics, written once."""
    return Exposition(worker).text(form)


def _numbers(each: AnyMetric) -> tuple[list[Labels], list[float]]:
    """The labels of a metric's series, and all its numbers in the order of the lines."""
    if isinstance(each, Counter):
        samples = list(each.samples())
        return [labels for labels, _ in samples], [number for _, number in samples]
    series: list[Labels] = []
    numbers: list[float] = []
    for labels, buckets, total in each.histograms():
        series.append(labels)
        numbers += [number for _, number in buckets]
        numbers += [buckets[-1][1], total]
    return series, numbers


def _written(family: Family, form: Form) -> tuple[bytes, list[bytes]]:
    """The head of a metric, and what stands before each of its numbers."""
    write = generate_latest if form is Form.TEXT else openmetrics.generate_latest
    written = write(_One(family)).removesuffix(END)
    lines = written.splitlines(keepends=True)
    head = [line for line in lines if line.startswith(b"#")]
    return b"".join(head), [line[: line.rindex(b" ") + 1] for line in lines[len(head) :]]


def _shown(number: float) -> bytes:
    whole = int(number)
    return b"%d\n" % whole if whole == number else f"{floatToGoString(number)}\n".encode()  # type: ignore[no-untyped-call]


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
