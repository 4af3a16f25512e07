"""How spans leave: what a collector that is away costs in the log, and in which thread it is waited for."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from gateway.server.trace_export import TELL_EVERY_S, ReportedExporter


class HandExporter(SpanExporter):
    """Answers as it is told."""

    result = SpanExportResult.FAILURE

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.result


def test_failures_are_told_once_a_minute_with_what_was_lost_and_their_end_is_told() -> None:
    now_s, exporter = [0.0], HandExporter()
    reported, span = ReportedExporter(exporter, lambda: now_s[0]), ReadableSpan("s")
    with capture_logs() as lines:
        for _ in range(100):
            reported.export([span, span])
        now_s[0] = TELL_EVERY_S
        reported.export([span])
        exporter.result = SpanExportResult.SUCCESS
        reported.export([span])
        reported.export([span])
    assert [(line["event"], line.get("lost_spans")) for line in lines] == [
        ("traces_not_sent", 2),
        ("traces_not_sent", 199),
        ("traces_sent_again", None),
    ]
