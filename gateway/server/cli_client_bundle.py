"""`gateway client-bundle`: fetches the stock client that the gateway serves to browsers."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.web.bundle_files import DEFAULT_FOLDER, HASHES, VERSION, BundleError
from gateway.web.fetch_bundle import fetch


@click.command("client-bundle", short_help="Fetches the stock client that is served to browsers.")
@click.option(
    "--to", "folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_FOLDER,
    help="Where to; GATEWAY_CLIENT_DIR names it to the gateway. A folder of the installed package without it.",
)  # fmt: skip
def client_bundle(folder: Path) -> None:
    """Fetches socket.io-client by npm, checks its files against the hashes that the gateway knows, and puts them where
    the gateway finds them: /socket.io/socket.io.js is served after its next start.

    \b
    gateway client-bundle
    gateway client-bundle --to /srv/chat-client
    """
    try:
        fetch(folder)
    except BundleError as error:
        raise click.ClickException(f"{error}.") from error
    click.echo(f"socket.io-client {VERSION}: {len(HASHES)} files in {folder}")
