"""What a load test says at its end, and how it ends. Does no I/O."""

from __future__ import annotations

from loadtest.ledger import Report
from loadtest.verdict import RoomReport

COLUMNS = ("sent", "acknowledged", "delivered", "missing", "doubled", "misordered", "phantom")
BREACHES = ("missing", "doubled", "misordered", "phantom")
WORST_SHOWN = 5


def exit_status(report: Report) -> int:
    """0 when the gateway kept its promise; 1 when it did not, or when nothing was delivered, which proves nothing."""
    return 0 if report.is_clean and report.delivered else 1


def summary(report: Report) -> str:
    """The figures of all rooms together, those of the worst rooms, and the first findings."""
    worst = sorted(report.rooms, key=_badness, reverse=True)[:WORST_SHOWN]
    rows = [("room", *COLUMNS), (f"all {len(report.rooms)} rooms", *_figures(report))]
    rows += [(room.room, *_figures(room)) for room in worst]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "", _sentence(report), *_findings(report)])


def _figures(report: Report | RoomReport) -> tuple[str, ...]:
    return tuple(str(getattr(report, column)) for column in COLUMNS)


def _badness(room: RoomReport) -> tuple[int, int]:
    return sum(getattr(room, breach) for breach in BREACHES), room.delivered


def _sentence(report: Report) -> str:
    if not report.delivered:
        return "Nothing was delivered, so nothing is proved."
    if not report.is_clean:
        return "The promise was broken."
    told = f" {report.gaps} gaps were announced." if report.gaps else ""
    return f"Nothing missing, doubled or out of order.{told}"


def _findings(report: Report) -> list[str]:
    return [f"  {line}" for line in str(report).splitlines()[1:]]
