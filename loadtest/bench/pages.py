"""What is made of the published figures: the tables on the pages, and the picture.

uv run --group load python -m loadtest.bench.pages
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from loadtest import capacity
from loadtest.bench import units
from loadtest.bench.contenders import REPOSITORY
from loadtest.bench.plot import plot
from loadtest.bench.report import Result, short_table, whole_table
from loadtest.bench.stored import RESULTS, read

PAGES = {
    "README.md": ("bench-short",),
    "loadtest/README.md": ("bench",),
    "docs/capacity.md": ("answer", "units"),
    "docs/scaling.md": ("calculator",),
}
"""By page the names of what is generated on it, between `<!-- generated: NAME -->` and `<!-- end -->`."""


def tables(about: dict[str, str], results: Sequence[Result]) -> dict[str, str]:
    """By name what is generated."""
    facts = "\n".join(f"- {topic}: {sentence}" for topic, sentence in about.items())
    days = sorted({each.date for each in results})
    measured = f"- measured: {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "") if days else ""
    return {
        "bench": "\n\n".join(part for part in (f"{facts}\n{measured}", whole_table(results)) if part),
        "bench-short": short_table(results),
    }


def renewed(page: str, name: str, table: str) -> str:
    """A page with what is generated put in anew."""
    between = re.compile(f"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    return between.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", page)


def made() -> dict[str, str]:
    """All that is generated, by name."""
    measured = list(units.load().values())
    answer = capacity.told(capacity.need(capacity.EXAMPLE, capacity.published()), capacity.EXAMPLE)
    return tables(*read(RESULTS)) | {
        "answer": textwrap.indent(answer, "    "),
        "units": units.table(measured),
        "calculator": capacity.worked(capacity.published()),
    }


def publish() -> None:
    """Makes the units, the pages and the picture of what is in `results/`."""
    units.write()
    parts = made()
    for page, names in PAGES.items():
        file = REPOSITORY / page
        text = file.read_text()
        for name in names:
            text = renewed(text, name, parts[name])
        file.write_text(text)
    plot(read(RESULTS)[1], RESULTS / "ratios.png")


if __name__ == "__main__":
    publish()
