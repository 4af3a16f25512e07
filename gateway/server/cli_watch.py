"""`gateway room`, `gateway tail` and `gateway top`, as they are typed."""

from __future__ import annotations

import sys
from typing import Any

import click

from gateway.option_types import SettingsError
from gateway.server.typed import Misused
from gateway.settings import Settings, variable_of

_REDIS = click.option(
    "--redis", "redis_url", metavar="URL", help="Redis or Valkey (REDIS_URL); a running embedded one without."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")


@click.command(short_help="Looks at one room: do all workers agree with the store?")
@click.argument("name")
@click.option("--watch", "is_watched", is_flag=True, help="Look again every second, until Ctrl-C.")
@_JSON
@_REDIS
def room(name: str, is_watched: bool, as_json: bool, redis_url: str | None) -> None:
    """Looks at room NAME: what the store has of it, and what each worker of each host has.

    Exit status 1 when they diverge: a worker that does not hear the room, is behind, or is unsure after a failover.

    \b
    gateway room lobby
    gateway room lobby --watch
    gateway room lobby --json | jq .divergences
    """
    from gateway.server import room_command

    if not name:
        raise Misused("Name a room: gateway room lobby")
    sys.exit(room_command.room(_settings(redis_url), name, is_watched, as_json))


@click.command(short_help="Follows what happens in a room, or what a user does, live.")
@click.argument("name", metavar="[ROOM]", required=False)
@click.option(
    "--user", metavar="ID", help="What this user does, by the claim `sub` of its tokens; or a guest's name."
)
@click.option("-n", "limit", type=click.IntRange(1), metavar="NUMBER", help="End after so many events.")
@_JSON
@_REDIS
def tail(name: str | None, user: str | None, limit: int | None, as_json: bool, redis_url: str | None) -> None:
    """Follows what happens in ROOM, or what a user does in all rooms, until Ctrl-C.

    \b
    gateway tail lobby
    gateway tail --user ada
    """
    from gateway.server import tail_command

    if bool(name) == bool(user):
        raise Misused("Give a room, or a user by --user: gateway tail lobby")
    settings = _settings(redis_url)
    if name:
        sys.exit(tail_command.tail_room(settings, name, as_json, limit))
    sys.exit(tail_command.tail_user(settings, user or "", as_json, limit))


@click.command(short_help="Shows the busiest rooms and the slowest members, live.")
@click.option("--once", "is_once", is_flag=True, help="Look once, over a second.")
@_JSON
@_REDIS
def top(is_once: bool, as_json: bool, redis_url: str | None) -> None:
    """Shows all workers, the busiest rooms and the slowest members, every two seconds until Ctrl-C.

    \b
    gateway top
    gateway top --once --json
    """
    from gateway.server import top_command

    sys.exit(top_command.top(_settings(redis_url), is_once, as_json))


def _settings(redis_url: str | None) -> Settings:
    given: dict[str, Any] = {} if redis_url is None else {variable_of("redis.url"): redis_url}
    try:
        return Settings.from_environment(given=given)
    except SettingsError as error:
        sentence = str(error).replace(variable_of("redis.url"), "--redis") if given else str(error)
        raise Misused(sentence) from error
