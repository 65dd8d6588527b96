"""A group of commands in the order in which they were added, which names the closest of an unknown one."""

from __future__ import annotations

from typing import Any

import click

from cifar_core.errors import closest


class OrderedGroup(click.Group):
    """Commands in the order in which a newcomer meets them; an unknown one names the closest."""

    def __init__(self, *args: Any, unknown: str = "no such verb", **settings: Any) -> None:
        """Take click's own arguments, and what is said before an unknown name."""
        super().__init__(*args, **settings)
        self._unknown = unknown

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"{self._unknown} {args[0]!r}: {closest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)
