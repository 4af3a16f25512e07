"""Metrics: each named once, by the usual rules; labels are closed sets."""

from __future__ import annotations

import re

import pytest

from gateway import metrics
from gateway.metric_kinds import (
    AnyMetric,
    Counter,
    Gauge,
    Histogram,
    HistogramFamily,
    Metric,
    ReasonCounter,
    TableCounter,
)


def test_each_metric_is_named_once_by_the_usual_rules_and_says_what_it_means() -> None:
    names = [metric.name for metric in metrics.ALL]
    assert len(set(names)) == len(names)
    counters = [metric.name for metric in metrics.ALL if metric.kind == "counter"]
    assert all(re.fullmatch(r"gateway_[a-z_]+_total", name) for name in counters)
    assert all(re.fullmatch(r"gateway_[a-z_]+", name) for name in names)
    assert all(metric.meaning.endswith(".") and "\n" not in metric.meaning for metric in metrics.ALL)


def test_no_label_is_open_to_what_clients_say() -> None:
    closed = {
        "reason", "result", "limit", "event", "code", "method", "webhook", "hook", "transport", "identity", "for",
        "cause", "recovered", "why", "version", "build",
    }  # fmt: skip
    assert {label for metric in metrics.ALL for label in metric.labels} <= closed


def test_every_metric_of_the_module_is_shown() -> None:
    found: set[AnyMetric] = {value for value in vars(metrics).values() if isinstance(value, AnyMetric)}
    assert found == set(metrics.ALL)
    assert all(isinstance(metric, Metric) for metric in found)


def test_a_counter_only_adds_up() -> None:
    counter = Counter("gateway_x_total", "X.")
    counter.add(1)
    counter.add(4)
    assert counter.value == 5
    assert list(counter.samples()) == [((), 5)]


def test_a_counter_by_reason_shows_every_reason_from_the_beginning_and_takes_no_other() -> None:
    counter = ReasonCounter("gateway_y_total", "Y.", "late", "lost")
    assert (counter.labels, list(counter.samples())) == (("reason",), [(("late",), 0), (("lost",), 0)])
    counter.because("lost")
    counter.because("lost")
    assert list(counter.samples()) == [(("late",), 0), (("lost",), 2)]
    assert counter.value == 2
    with pytest.raises(KeyError):
        counter.because("what a client says")


def test_a_table_of_events_and_codes_is_bounded() -> None:
    counter = TableCounter("gateway_z_total", "Z.", ("event", "code"), 3)
    for number in range(10):
        counter.count(f"event{number}", "code")
    assert dict(counter.samples()) == {
        ("event0", "code"): 1, ("event1", "code"): 1, ("event2", "code"): 1, ("other", "code"): 7
    }  # fmt: skip
    assert counter.value == 10


def test_a_gauge_shows_what_was_set_last_and_nothing_before() -> None:
    gauge = Gauge("gateway_g", "G.", ("kind",))
    assert list(gauge.samples()) == []
    gauge.set(3, "a")
    gauge.set(1, "a")
    assert list(gauge.samples()) == [(("a",), 1)]


def test_a_histogram_counts_a_value_at_a_bound_as_below_it_and_shows_running_sums() -> None:
    histogram = Histogram("gateway_h_seconds", "H.", (0.001, 0.5, 1.0))
    for value in (0.0005, 0.001, 0.0011, 0.5, 7.0):
        histogram.observe(value)
    ((labels, buckets, total),) = histogram.histograms()
    assert (labels, buckets) == ((), [("0.001", 2), ("0.5", 4), ("1.0", 4), ("+Inf", 5)])
    assert histogram.count == 5
    assert total == pytest.approx(7.5026)


def test_a_family_of_histograms_shows_those_that_were_used() -> None:
    family = HistogramFamily("gateway_f_seconds", "F.", "method", (1.0,), 2)
    family.of("publish").observe(0.5)
    family.of("publish").observe(2)
    assert list(family.histograms()) == [(("publish",), [("1.0", 1), ("+Inf", 2)], 2.5)]
    for method in ("kick", "ban", "mute"):
        family.of(method).observe(0.1)
    assert [labels for labels, _, _ in family.histograms()] == [("publish",), ("kick",), ("other",)]
