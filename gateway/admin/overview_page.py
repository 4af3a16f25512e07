"""The first page: workers with what they did in the last minutes, the busiest and the largest rooms, slow members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.admin.html import Child, Html, el, join
from gateway.admin.looking import Overview
from gateway.admin.pages import Frame, badge, bdi, card, region, room_link, table, user_link
from gateway.admin.plots import plot, summed
from gateway.chat.questions import Answer

KINDS = {"ready": "good", "draining": "warn", "not_ready": "bad"}
SLOW_SHOWN = 10
UNKNOWN = "…"
"""In place of a rate that the next look brings."""


def overview(frame: Frame, seen: Overview) -> dict[str, Html]:
    """The regions of the page, by name."""
    return {
        "totals": _totals(seen),
        "workers": _workers(seen),
        "rooms": card("Rooms by size", _rooms(frame, seen)),
        "busy": card("Busiest rooms", _busiest(frame, seen)),
        "slow": card("Slowest members", _slow(frame, seen)),
    }


def body(regions: dict[str, Html]) -> Html:
    """The page around them."""
    return join(
        el("h1", "Overview", class_="hidden"),
        region("totals", regions["totals"]),
        region("workers", regions["workers"]),
        el("div", *(region(name, regions[name]) for name in ("rooms", "busy", "slow")), class_="columns"),
    )


def _totals(seen: Overview) -> Html:
    answers = list(seen.answers.values())
    rates = [told["recent"] for told in answers if told["recent"]]
    tiles = (
        ("Connections", f"{sum(told['connections'] for told in answers):,}", "connections"),
        ("Messages a second", _rate(_messages_s(seen), answers), ""),
        (
            "Deliveries a second",
            _rate(sum(told["deliveries_s"] for told in answers), answers),
            "deliveries_s",
        ),
        ("Rooms with members", f"{len(seen.rooms):,}{'+' if len(seen.rooms) >= 50 else ''}", ""),
    )
    return el("div", [_tile(title, now, name, rates) for title, now, name in tiles], class_="tiles")


def _rate(a_second: float, answers: Sequence[Answer]) -> str:
    """What is shown of a rate that these answers gave together."""
    return f"{a_second:,.1f}" if _are_rates_known(answers) else UNKNOWN


def _are_rates_known(answers: Iterable[Answer]) -> bool:
    """A worker that nobody asked of late knows its rates at the next look only; an older one does not say."""
    return all(told.get("has_rates", True) for told in answers)


def _rates(seen: Overview) -> dict[str, float]:
    """Messages a second of the busiest rooms: each worker hears every message of a room, so the highest counts."""
    rates: dict[str, float] = {}
    for told in seen.answers.values():
        for name, rate, _ in told["busiest"]:
            rates[name] = max(rates.get(name, 0.0), rate)
    return rates


def _messages_s(seen: Overview) -> float:
    """Those of the busiest rooms together; or of the worker that hears most, where it has more rooms than it names."""
    heard = [float(told["messages_s"]) for told in seen.answers.values()]
    return max(sum(_rates(seen).values()), *heard, 0.0)


def _tile(title: str, now: str, name: str, recent: Sequence[Answer]) -> Html:
    drawn = plot(summed([each[name] for each in recent]), title) if name else None
    return el("div", el("span", title, class_="muted"), el("strong", now), drawn, class_="tile")


def _workers(seen: Overview) -> Html:
    shown = [_worker(name, told) for name, told in sorted(seen.answers.items())]
    shown += [_silent(name) for name in seen.silent]
    count = len(shown)
    return el(
        "section", el("h2", f"{count} worker" + ("s" if count != 1 else "")), el("div", shown, class_="workers"),
        class_="card",
    )  # fmt: skip


def _worker(name: str, told: Answer) -> Html:
    recent = told["recent"] or {"connections": [], "messages_s": [], "deliveries_s": []}
    plots: list[Child] = [
        el("figure", el("figcaption", label, " ", el("b", now)), plot(recent[series], label))
        for label, now, series in (
            ("connections", f"{told['connections']:,}", "connections"),
            ("messages/s", _rate(told["messages_s"], (told,)), "messages_s"),
            ("deliveries/s", _rate(told["deliveries_s"], (told,)), "deliveries_s"),
        )
    ]
    state = badge(told["state"].replace("_", " "), KINDS.get(told["state"], "warn"))
    about = el("span", f"{told['rooms']:,} rooms, {told['memberships']:,} memberships", class_="muted")
    return el(
        "article",
        el("h3", bdi(name), " ", state, el("span", bdi(told["host"]), class_="muted host")),
        about,
        el("div", plots, class_="plots"),
        class_="worker",
    )


def _silent(name: str) -> Html:
    return el(
        "article", el("h3", bdi(name), " ", badge("no answer", "warn")),
        el("span", "It is older, held up, or gone.", class_="muted"), class_="worker",
    )  # fmt: skip


def _rooms(frame: Frame, seen: Overview) -> Html:
    rows: list[tuple[Child, ...]] = [(room_link(frame, name), f"{users:,}") for name, users in seen.rooms]
    return table(("Room", "Users"), rows, "Nobody is in a room.")


def _busiest(frame: Frame, seen: Overview) -> Html:
    rates = _rates(seen)
    busiest = sorted(rates, key=lambda name: (-rates[name], name))[:20]
    rows: list[tuple[Child, ...]] = [(room_link(frame, name), f"{rates[name]:,.1f}") for name in busiest]
    empty = "Nothing is said now." if _are_rates_known(seen.answers.values()) else UNKNOWN
    return table(("Room", "Messages a second"), rows, empty)


def _slow(frame: Frame, seen: Overview) -> Html:
    found = [{**each, "worker": name} for name, told in seen.answers.items() for each in told["slowest"]]
    rows: list[tuple[Child, ...]] = []
    for each in sorted(found, key=lambda each: -each["unsent_bytes"])[:SLOW_SHOWN]:
        names = sorted(set(each["rooms"].values()))
        who = user_link(frame, each["user"] or names[0]) if each["user"] or names else bdi(each["session"])
        rows.append((who, bdi(each["worker"]), f"{each['unsent_bytes']:,}", f"{each['lag']:,}"))
    return table(("Member", "Worker", "Unsent bytes", "Messages behind"), rows, "No member is slow.")
