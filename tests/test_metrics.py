"""Counters: each named once, shown as Prometheus reads them."""

from __future__ import annotations

import re

import pytest

from gateway import metrics


def test_each_metric_is_named_once_by_the_usual_rules_and_says_what_it_means() -> None:
    names = [counter.name for counter in metrics.ALL]
    assert len(set(names)) == len(names)
    counters = [counter.name for counter in metrics.ALL if counter.kind == "counter"]
    assert all(re.fullmatch(r"gateway_[a-z_]+_total", name) for name in counters)
    assert all(re.fullmatch(r"gateway_[a-z_]+", name) for name in names)
    assert all(counter.meaning.endswith(".") and "\n" not in counter.meaning for counter in metrics.ALL)


def test_every_counter_of_the_module_is_shown() -> None:
    counters = {value for value in vars(metrics).values() if isinstance(value, metrics.Counter)}
    assert counters == set(metrics.ALL)


def test_the_text_has_help_type_and_one_line_per_counter() -> None:
    metrics.handoffs.add(2)
    lines = metrics.text("w1").splitlines()
    assert len(lines) == sum(2 + len(list(counter.samples())) for counter in metrics.ALL)
    at = lines.index("# TYPE gateway_handoffs_total counter")
    assert lines[at - 1].startswith("# HELP gateway_handoffs_total ")
    assert lines[at + 1] == f'gateway_handoffs_total{{worker="w1"}} {metrics.handoffs.value}'


def test_a_counter_only_adds_up() -> None:
    counter = metrics.Counter("gateway_x_total", "X.")
    counter.add(1)
    counter.add(4)
    assert counter.value == 5


def test_a_counter_by_reason_shows_every_reason_from_the_beginning_and_takes_no_other() -> None:
    counter = metrics.ReasonCounter("gateway_y_total", "Y.", "late", "lost")
    assert list(counter.samples()) == [(',reason="late"', 0), (',reason="lost"', 0)]
    counter.because("lost")
    counter.because("lost")
    assert list(counter.samples()) == [(',reason="late"', 0), (',reason="lost"', 2)]
    assert counter.value == 2
    with pytest.raises(KeyError):
        counter.because("what a client says")
