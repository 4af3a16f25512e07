"""What a gateway's `/metrics` says, read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Scraped(NamedTuple):
    """One scrape."""

    samples: list[Sample]
    size_bytes: int

    def each(self, name: str, **labels: str) -> Iterator[Sample]:
        """The series of that name with these labels among theirs."""
        for sample in self.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                yield sample

    def total(self, name: str, **labels: str) -> float:
        """Their sum."""
        return sum(sample.value for sample in self.each(name, **labels))

    def series(self) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        """Every series by its name and labels, but for those that are shown when they first happen."""
        return {(sample.name, frozenset(sample.labels.items())) for sample in self.samples}

    def up(self) -> dict[str, float]:
        """Each worker's number, and whether it answered."""
        return {sample.labels["worker"]: sample.value for sample in self.each("gateway_worker_up")}


async def scrape(url: str) -> Scraped:
    """Asks once, on a connection of its own."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        assert response.status == 200
        text = await response.text()
    families = text_string_to_metric_families(text)
    return Scraped([sample for family in families for sample in family.samples], len(text))
