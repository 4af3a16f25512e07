"""What kinds of metrics there are. Adding to one is an attribute addition, or a bisection: cheap enough for hot paths.

Numbers live as long as the worker. Labels are closed sets: what was named when the metric was made, what a table of the
code has, or what the operator has named in a file. Nothing that a client says makes a new one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

Labels = tuple[str, ...]
"""Values of labels, in the order of a metric's `labels`."""


class Metric:
    """A name, its meaning, and what tells its numbers apart beside the worker."""

    kind = "untyped"
    __slots__ = ("labels", "meaning", "name")

    def __init__(self, name: str, meaning: str, labels: Labels = ()) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = labels


class Counter(Metric):
    """A number that only grows."""

    kind = "counter"
    __slots__ = ("value",)

    def __init__(self, name: str, meaning: str, labels: Labels = ()) -> None:
        super().__init__(name, meaning, labels)
        self.value: float = 0

    def add(self, number: float) -> None:
        """Counts `number` more."""
        self.value += number

    def samples(self) -> Iterator[tuple[Labels, float]]:
        """Each number, with its labels."""
        yield (), self.value


class ReasonCounter(Counter):
    """The same, counted for each reason. The reasons are a closed set, and all of them are shown from the beginning."""

    label = "reason"
    __slots__ = ("_by_reason",)

    def __init__(self, name: str, meaning: str, *reasons: str, label: str | None = None) -> None:
        super().__init__(name, meaning, (label or self.label,))
        self._by_reason = dict.fromkeys(reasons, 0)

    def because(self, reason: str) -> None:
        """Counts one more; raises KeyError for a reason that was not named when the counter was made."""
        self._by_reason[reason] += 1
        self.value += 1

    def knows(self, reason: str) -> bool:
        """Whether a reason was named when the counter was made."""
        return reason in self._by_reason

    def samples(self) -> Iterator[tuple[Labels, float]]:
        for reason, number in self._by_reason.items():
            yield (reason,), number


class ResultCounter(ReasonCounter):
    """The same, counted for each result."""

    label = "result"
    __slots__ = ()


class TableCounter(Counter):
    """Counted for each row and column of two closed sets; what never happened is not shown."""

    __slots__ = ("_by_labels", "most")

    def __init__(self, name: str, meaning: str, labels: Labels, most: int) -> None:
        """Where more than `most` pairs happen, the rest are counted under `other` and the second label."""
        super().__init__(name, meaning, labels)
        self._by_labels: dict[Labels, int] = {}
        self.most = most

    def count(self, first: str, second: str) -> None:
        """One more."""
        pair = (first, second)
        if pair not in self._by_labels and len(self._by_labels) >= self.most:
            pair = ("other", second)
        self._by_labels[pair] = self._by_labels.get(pair, 0) + 1
        self.value += 1

    def samples(self) -> Iterator[tuple[Labels, float]]:
        yield from self._by_labels.items()


class NamedCounter(Counter):
    """Counted for each of what the operator has named in a file."""

    __slots__ = ("_by_name",)

    def __init__(self, name: str, meaning: str, label: str = "webhook") -> None:
        super().__init__(name, meaning, (label,))
        self._by_name: dict[str, float] = {}

    def count(self, name: str, number: float = 1) -> None:
        """Counts `number` more for a name; 0 shows it."""
        self._by_name[name] = self._by_name.get(name, 0) + number
        self.value += number

    def samples(self) -> Iterator[tuple[Labels, float]]:
        for name, number in self._by_name.items():
            yield (name,), number


class NamedGauge(NamedCounter):
    """A number for each of them that goes up and down."""

    kind = "gauge"
    __slots__ = ()

    def set(self, name: str, number: float) -> None:
        """It is so much now."""
        self._by_name[name] = number


class Gauge(Counter):
    """A number that goes up and down, and is looked up when it is asked for; one for each of a closed set of labels.
    What was never set is not shown."""

    kind = "gauge"
    __slots__ = ("_by_labels",)

    def __init__(self, name: str, meaning: str, labels: Labels = ()) -> None:
        super().__init__(name, meaning, labels)
        self._by_labels: dict[Labels, float] = {}

    def set(self, number: float, *labels: str) -> None:
        """It is so much now."""
        self._by_labels[labels] = self.value = number

    def samples(self) -> Iterator[tuple[Labels, float]]:
        yield from self._by_labels.items()


class Histogram(Metric):
    """How many were so long: a number for each bucket, the last one without an upper bound, and the sum of all."""

    kind = "histogram"
    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        super().__init__(name, meaning)
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more. A value at a bound counts as below it, as Prometheus has it (`le`)."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def histograms(self) -> Iterator[tuple[Labels, list[tuple[str, float]], float]]:
        """Labels, the cumulative buckets as Prometheus names them, and the sum."""
        yield (), cumulated(self.bounds, self.counts), self.sum


class HistogramFamily(Metric):
    """A histogram for each value of one label, from a closed set; what never happened is not shown."""

    kind = "histogram"
    __slots__ = ("_by_label", "bounds", "most")

    def __init__(self, name: str, meaning: str, label: str, bounds: Sequence[float], most: int) -> None:
        """Where more than `most` of them happen, the rest are counted under `other`."""
        super().__init__(name, meaning, (label,))
        self.bounds = tuple(bounds)
        self.most = most
        self._by_label: dict[str, Histogram] = {}

    def of(self, label: str) -> Histogram:
        """The one with that label."""
        found = self._by_label.get(label)
        if found is None:
            label = label if len(self._by_label) < self.most else "other"
            found = self._by_label.setdefault(label, Histogram(self.name, self.meaning, self.bounds))
        return found

    def histograms(self) -> Iterator[tuple[Labels, list[tuple[str, float]], float]]:
        """As `Histogram.histograms`."""
        for label, each in self._by_label.items():
            yield (label,), cumulated(each.bounds, each.counts), each.sum


def cumulated(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Each upper bound, and how many were at most that."""
    names = [*(f"{bound:g}" if bound != int(bound) else f"{bound:.1f}" for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))


AnyMetric = Counter | Histogram | HistogramFamily
