"""The help of `gateway`: what is in it, that its examples can be typed, and what is said of what is typed wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from gateway.server.cli import main
from gateway.server.cli_group import SECTIONS


def commands(group: click.Group = main, path: str = "gateway") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by what is typed."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands())


def shown(*words: str) -> str:
    """The help, as a terminal of 80 columns has it."""
    done = CliRunner().invoke(main, [*words, "--help"], terminal_width=80)
    assert done.exit_code == 0
    return done.output


def test_every_command_is_in_one_group() -> None:
    named = [name for names in SECTIONS.values() for name in names]
    assert sorted(named) == sorted({*named, *main.commands})
    lines = shown().splitlines()
    assert [line[:-1] for line in lines if line[:-1] in SECTIONS] == list(SECTIONS)
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("  ") and line.split()[0] in named for line in lines) == len(named)


@pytest.mark.parametrize("typed", COMMANDS)
def test_the_examples_of_a_command_are_commands(typed: str) -> None:
    examples = [
        line.strip()
        for line in (COMMANDS[typed].help or "").splitlines()
        if line.strip().startswith("gateway ")
    ]
    assert [each for each in examples if each.startswith(typed)]
    for example in examples:
        for part in example.split(" | "):
            if part.startswith("gateway "):
                parse(part)


def parse(line: str) -> None:
    """Raises a UsageError if it could not be typed."""
    typed = next(
        name for name in sorted(COMMANDS, key=len, reverse=True) if f"{line} ".startswith(f"{name} ")
    )
    COMMANDS[typed].make_context(typed, shlex.split(line.removeprefix(typed)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tial", "lobby"], "There is no command 'tial'. Did you mean 'tail'?"),
        (["token", "mew"], "There is no command 'mew'. Did you mean 'new'?"),
        (["key", "lst"], "There is no command 'lst'. Did you mean 'list'?"),
        (["--prot", "9000"], "No such option '--prot'."),
        (["top", "--onec"], "'--once'?)"),
        (["xyzzy"], "There is no command 'xyzzy'.\n"),
        (["room", ""], "Name a room: gateway room lobby"),
    ],
)
def test_what_is_typed_wrong_is_answered_by_the_nearest(words: list[str], sentence: str) -> None:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert sentence in done.output
    assert "Traceback" not in done.output
