"""A click group with sections, which suggests the closest command for an unknown one."""

from __future__ import annotations

from typing import Any

import click

from cifar_core.common.errors import closest

_NO_LIMIT = 1000
"""Limit in characters of a short help that is never reached."""


class OrderedGroup(click.Group):
    """Commands in sections, in the order of their addition."""

    def __init__(self, *args: Any, unknown: str = "no such verb", **settings: Any) -> None:
        """Create the group.

        Args:
            args: of `click.Group`.
            unknown: text before an unknown name in the error.
            settings: of `click.Group`.
        """
        super().__init__(*args, **settings)
        _give_help(self)
        self._unknown = unknown
        self.sections: dict[str, list[str]] = {}
        """Title to the names of its commands."""

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands under a title in the help."""
        for command in commands:
            _give_help(command)
            self.add_command(command)
        self.sections[title] = [str(command.name) for command in commands]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, self.commands))
        for title, names in self.sections.items():
            rows = [(name, self.commands[name].get_short_help_str(limit=_NO_LIMIT)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows, col_spacing=2 + longest - max(map(len, names)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"{self._unknown} {args[0]!r}: {closest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def _give_help(command: click.Command) -> None:
    """Set a command's help from the source if `python -OO` has removed the docstrings."""
    if command.help is None and command.callback is not None:
        from cifar_core.common.json_schema import docstring_of

        command.help = docstring_of(command.callback)
