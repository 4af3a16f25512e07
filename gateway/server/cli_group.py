"""How the command `gateway` is laid out: its commands in groups, and what is typed wrong.

Owns the order of commands in the help, and the imports: a command's module is read when that command is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module

import click

SECTIONS = {
    "Run": ("serve", "check", "client-bundle"),
    "Look": ("top", "room", "tail", "explain"),
    "Keys and tokens": ("token", "key", "revoke", "ban", "unban", "bans"),
    "Documentation": ("docs",),
}
"""The commands as the help shows them."""

_ELSEWHERE = {
    "token": "cli_token:token",
    "key": "cli_key:key",
    "room": "cli_watch:room",
    "tail": "cli_watch:tail",
    "top": "cli_watch:top",
    "client-bundle": "cli_client_bundle:client_bundle",
}
"""The commands of other modules of this folder."""


class Suggesting(click.Group):
    """A group whose error names a command that looks like the one that was typed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was typed."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx) from error


class ServeByDefault(Suggesting):
    """The commands of `gateway`, in groups. Options without a command's name are those of `serve`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, as the help has them."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, name = _ELSEWHERE[cmd_name].partition(":")
        found = getattr(import_module(f"gateway.server.{module}"), name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the groups; what a command does begins in one column."""
        longest = max(map(len, self.list_commands(ctx)))
        for section, names in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(longest), told) for name, told in self._told(ctx, names)])

    def _told(self, ctx: click.Context, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for name in names:
            command = self.get_command(ctx, name)
            assert command is not None
            yield name, command.get_short_help_str(limit=70)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `serve` in front of options that are not the group's own."""
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)
