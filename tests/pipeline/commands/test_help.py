"""Every command loads, is shown in its section, and explains itself."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from pipeline.__main__ import SECTIONS, cli

ROOT = click.Context(cli, info_name="pipeline")


def commands(group: click.Group = cli, context: click.Context = ROOT) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=context, info_name=name)
            yield from ((f"{name} {part}", found) for part, found in commands(command, inner))


def test_the_help_shows_every_section_and_command() -> None:
    said = CliRunner().invoke(cli, ["--help"])
    shown = [line.split()[0] for line in said.output.splitlines() if line.startswith("  ") and line.strip()]
    assert said.exit_code == 0
    assert [f"{title}:" in said.output for title in SECTIONS] == [True] * len(SECTIONS)
    assert {name for section in SECTIONS.values() for name in section} <= set(shown)


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in commands()])
def test_a_command_says_what_it_does_and_each_option_what_it_is_for(command: click.Command) -> None:
    assert command.help and command.help[0].isupper() and len(command.help) > 20
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_a_command_that_does_not_exist_is_refused_with_the_usage() -> None:
    said = CliRunner().invoke(cli, ["statu"])
    assert (said.exit_code, "No such command" in said.output) == (2, True)
