"""Options that print or write a result in a format, and tables for a paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sweeps.views.paper import PaperTable

SCREEN = "-"
"""Value of a format option without a file."""

AS_TYPED = click.Path()
"""A file with tab completion, kept as text, since it may also be the name of a sweep."""


def format_option(name: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option that prints a format, or writes it to a file."""
    return click.option(
        f"--{name}", f"{name}_to", type=AS_TYPED, is_flag=False, flag_value=SCREEN, metavar="[FILE]", help=text
    )


def paper_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the formats of a table for a paper: `md_to` and `latex_to`."""
    with_latex = format_option("latex", "Write the table as LaTeX (booktabs, siunitx) to FILE, or to standard output.")
    return format_option("md", "Write the table as Markdown to FILE, or to standard output.")(with_latex(command))


def write_paper_tables(table: Callable[[], PaperTable], outputs: Mapping[str, str | None]) -> None:
    """Write or print a table in each format that has an output."""
    from sweeps.views.exports import to_text

    for format, target in outputs.items():
        if target == SCREEN:
            click.echo(table().text(format))
        elif target is not None:
            to_text(table().text(format), Path(target))
            click.echo(f"written: {target}")
