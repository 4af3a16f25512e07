"""The command `gateway`: `serve` runs it, `check` tells what it sees of Redis and of workers, `explain` who may do what
in a room, `token` makes and reads tokens, `key` makes keys of backends, `revoke`, `ban`, `unban` and `bans` say who is
refused, `top`, `room` and `tail` look at a running gateway, `docs` prints tables.

Owns the words on the command line and turns them into options. Promises:
- a bad value ends with one sentence and exit status 2, without a traceback;
- `gateway serve` is the Procfile's line: it puts its options into the environment and becomes gunicorn.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from gateway import __version__
from gateway.builds import build_name
from gateway.option_types import SettingsError
from gateway.server.cli_group import ServeByDefault
from gateway.settings import Settings, variable_of

GUNICORN = ("-m", "gunicorn", "-c", "python:gateway.server.gunicorn_conf", "gateway.server.app:create_app")
"""The Procfile's line, by this interpreter."""

_PLACES = {
    "--host": "server.host",
    "--port": "server.port",
    "--workers": "server.workers",
    "--redis": "redis.url",
}
"""The option behind each flag."""


class BadOption(click.ClickException):
    """A value that is not allowed; shown as one sentence."""

    exit_code = 2


@click.group(cls=ServeByDefault)
@click.version_option(
    __version__, prog_name="gateway", message=f"%(prog)s, version %(version)s, {build_name()} build"
)
def main() -> None:
    """Chat over Socket.IO: many stateless workers, one Redis or Valkey, one order for everybody.

    Without a command it serves: `gateway --port 9000` is `gateway serve --port 9000`.

    \b
    gateway                                   with an embedded Valkey, to try it
    gateway --redis redis://127.0.0.1:6379/0  with your own Redis or Valkey
    gateway COMMAND --help                    what a command does, with an example

    All other options are environment variables: docs/options.md has them.
    """


@main.command(short_help="Runs the gateway until Ctrl-C or SIGTERM (the default).")
@click.option("--host", metavar="ADDRESS", help="Address to listen on; all by default.")
@click.option("--port", metavar="NUMBER", help="Port to listen on; 8006 by default (PORT).")
@click.option(
    "--workers", metavar="NUMBER", help="Worker processes; one per CPU by default (WEB_CONCURRENCY)."
)
@click.option(
    "--redis", "redis_url", metavar="URL", help="Redis or Valkey (REDIS_URL); an embedded one without."
)
def serve(host: str | None, port: str | None, workers: str | None, redis_url: str | None) -> None:
    """Runs the gateway until Ctrl-C or SIGTERM.

    \b
    gateway serve --port 9000 --workers 4
    gateway serve --host 127.0.0.1 --redis redis://127.0.0.1:6379/0
    """
    _with_options({"--host": host, "--port": port, "--workers": workers, "--redis": redis_url})
    # Ctrl-C waits from here until gunicorn reads its configuration: it outlives the exec, unlike a handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execv(sys.executable, [sys.executable, *GUNICORN])


@main.command(short_help="Tells whether Redis is fit, and which workers live.")
@click.option(
    "--redis", "redis_url", metavar="URL", help="Redis or Valkey (REDIS_URL); a running embedded one without."
)
def check(redis_url: str | None) -> None:
    """Tells whether Redis is fit for the gateway, as a worker would judge, and which workers live.

    Exit status 1, with what is wrong and whether waiting can help, when a worker would not be ready.

    \b
    gateway check
    gateway check --redis rediss://user:password@valkey:6379/0
    """
    from gateway.server.check import check as look

    sys.exit(look(_with_options({"--redis": redis_url})))


@main.command(short_help="Tells who may do what in a room, and why.")
@click.argument("room")
@click.option("--guest", is_flag=True, help="For somebody without a token (the default).")
@click.option("--token", metavar="TOKEN", help="For whom a token says, and whether it counts here.")
@click.option(
    "--grants", metavar="JSON", help='For a user with the claim `rooms`: \'{"class:*": ["join"]}\'.'
)
def explain(room: str, guest: bool, token: str | None, grants: str | None) -> None:
    """Tells for each operation whether it is allowed in ROOM, by which rule of GATEWAY_CONFIG, and by which grant.

    \b
    gateway explain interview:42
    gateway explain interview:42 --grants '{"interview:*": ["join", "send"]}'
    """
    from gateway.server import explain as explanation

    if guest + (token is not None) + (grants is not None) > 1:
        raise BadOption("Of --guest, --token and --grants give one.")
    try:
        settings = _with_options({})
        note = explanation.doubt_of(settings, token) if token is not None else ""
        explanation.tell(settings, room, explanation.identity_of(token, grants, "somebody"), note)
    except SettingsError as error:
        raise BadOption(str(error)) from error


@main.command(short_help="Prints the tables of options, error codes and metrics.")
@click.option(
    "--write",
    "folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Fill the tables into the pages of this folder instead.",
)
def docs(folder: Path | None) -> None:
    """Prints the tables of options, error codes and metrics, in Markdown.

    \b
    gateway docs | less
    gateway docs --write docs
    """
    from gateway.server import docs as tables

    if folder is None:
        click.echo(tables.everything(), nl=False)
    else:
        tables.fill(folder)


_REDIS = click.option(
    "--redis", "redis_url", metavar="URL", help="Redis or Valkey (REDIS_URL); a running embedded one without."
)
_USER = click.option("--user", metavar="ID", help="The user, as the claim `sub` of its tokens has it.")
_NETWORK = click.option(
    "--ip", "network", metavar="ADDRESS", help="An address, or a network such as 203.0.113.0/24."
)


@main.command(short_help="Ends tokens before their time, and their sessions.")
@_USER
@click.option(
    "--before", metavar="TIME", help="Only tokens issued until then: 2026-11-26T18:00Z, or Unix seconds; now."
)
@click.option("--jti", metavar="ID", help="One token, by its claim `jti`.")
@_REDIS
def revoke(user: str | None, before: str | None, jti: str | None, redis_url: str | None) -> None:
    """Ends tokens before their time, and the sessions that have them, on all workers.

    The user may come back with a token that is issued later.

    \b
    gateway revoke --user 42
    gateway revoke --user 42 --before 2026-11-26T18:00Z
    gateway revoke --jti 9f86d081
    """
    from gateway.server import revoke as by_hand

    sys.exit(by_hand.revoke(_with_options({"--redis": redis_url}), user, before, jti))


@main.command(short_help="Keeps a user or a network out, and ends its sessions.")
@_USER
@_NETWORK
@click.option("--for", "lasting", metavar="TIME", help="How long: 90s, 10m, 2h, 7d; for ever without.")
@_REDIS
def ban(user: str | None, network: str | None, lasting: str | None, redis_url: str | None) -> None:
    """Keeps a user or a network out, whatever token it shows, and ends its sessions on all workers.

    \b
    gateway ban --user 42 --for 2h
    gateway ban --ip 203.0.113.0/24
    """
    from gateway.server import revoke as by_hand

    sys.exit(by_hand.ban(_with_options({"--redis": redis_url}), user, network, lasting))


@main.command(short_help="Takes a ban back.")
@_USER
@_NETWORK
@_REDIS
def unban(user: str | None, network: str | None, redis_url: str | None) -> None:
    """Takes a ban back. Exit status 1 where there was none.

    \b
    gateway unban --user 42
    gateway unban --ip 203.0.113.0/24
    """
    from gateway.server import revoke as by_hand

    sys.exit(by_hand.unban(_with_options({"--redis": redis_url}), user, network))


@main.command(short_help="Lists who is banned, and what is revoked.")
@_REDIS
def bans(redis_url: str | None) -> None:
    """Lists who is banned, and what is revoked, a line each.

    \b
    gateway bans
    gateway bans | grep 203.0.113
    """
    from gateway.server import revoke as by_hand

    sys.exit(by_hand.bans(_with_options({"--redis": redis_url})))


def _with_options(given: Mapping[str, str | None]) -> Settings:
    """The settings with the flags over the environment, both checked; the environment has them afterwards."""
    flags = {flag: text for flag, text in given.items() if text is not None}
    variables = {variable_of(_PLACES[flag]): text for flag, text in flags.items()}
    for flag, text in flags.items():
        _refuse_bad(flag, text)
    try:
        settings = Settings.from_environment(given=variables)
    except SettingsError as error:
        raise BadOption(str(error)) from error
    os.environ.update(variables)
    return settings


def _refuse_bad(flag: str, text: str) -> None:
    """Says what is wrong with a flag's value by the name of the flag, not of its variable."""
    if not text:
        raise BadOption(f"{flag} needs a value.")
    variable = variable_of(_PLACES[flag])
    try:
        Settings.from_environment({variable: text})
    except SettingsError as error:
        raise BadOption(str(error).replace(variable, flag, 1)) from error
