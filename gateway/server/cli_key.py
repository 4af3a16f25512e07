"""`gateway key new` and `gateway key list`: keys by which backends call the server API.

Owns the words of these commands. A key is printed once, where it is made; the gateway's configuration has its hash.
"""

from __future__ import annotations

import json

import click

from gateway.access.api_keys import SCOPES, digest_of, new_key
from gateway.access.key_table import VARIABLE
from gateway.access.patterns import PatternError, parse
from gateway.api_key_options import read_name
from gateway.option_types import NotAllowed, SettingsError
from gateway.server.api_key_lines import in_words
from gateway.server.cli_group import Suggesting
from gateway.server.rules import configured
from gateway.settings import Settings


class KeyRefused(click.ClickException):
    """What was asked for cannot be done; one sentence."""

    exit_code = 2


@click.group(cls=Suggesting, short_help="Makes a key for your backend (`new`), or lists them (`list`).")
def key() -> None:
    """Makes a key by which your application's backend calls the server API, or lists those that count."""


@key.command(short_help="Prints a new key once, and the table with its hash.")
@click.option("--name", required=True, metavar="NAME", help="What it is called in logs, such as backend.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may do; may be repeated. All without.",
)
@click.option(
    "--room", "rooms", multiple=True, metavar="PATTERN", help="Where, such as 'support:**'; may be repeated."
)
def new(name: str, scopes: tuple[str, ...], rooms: tuple[str, ...]) -> None:
    """Prints a new key, and what to write into the configuration. Nothing keeps the key: nobody can print it again.

    \b
    gateway key new --name backend
    gateway key new --name support --scope publish --scope read --room 'support:**'
    """
    _refuse_bad(name, rooms)
    made = new_key()
    digest = digest_of(made).hex()
    click.echo(f"The key, for the backend; it is shown this once:\n\n    {made}\n")
    click.echo("For the file that GATEWAY_CONFIG names:\n")
    click.echo("[[key]]")
    click.echo(f'name = "{name}"\nhash_sha256 = "{digest}"')
    click.echo(f"scopes = {json.dumps([each for each in SCOPES if each in scopes] or list(SCOPES))}")
    if rooms:
        click.echo(f"rooms = {json.dumps(list(dict.fromkeys(rooms)), ensure_ascii=False)}")
    elif not set(SCOPES) - set(scopes or SCOPES):
        click.echo(
            f"\nOr, as it may do everything in every room, without a file:\n\n{VARIABLE}={name}:{digest}"
        )


@key.command("list", short_help="Lists the keys that count, and where each stands.")
def list_() -> None:
    """Lists the keys that are configured: what each may do, and where it stands. Never the key, nor its hash.

    \b
    gateway key list
    """
    try:
        found = configured(Settings.from_environment()).api_keys
    except SettingsError as error:
        raise KeyRefused(str(error)) from None
    for each in found.configured:
        click.echo(f"{in_words(each.key)} ({each.place})")
    if found.is_empty:
        click.echo("There is none, so the server API is off: gateway key new --name backend")


def _refuse_bad(name: str, rooms: tuple[str, ...]) -> None:
    try:
        read_name(name)
    except NotAllowed as error:
        raise KeyRefused(f"--name {name!r} is not allowed: {error}.") from None
    for each in rooms:
        try:
            parse(each)
        except PatternError as error:
            raise KeyRefused(f"--room {each!r} is not allowed: {error}.") from None
