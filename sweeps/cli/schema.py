"""`sweeps schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sweeps.files.schema import FileKind


@click.command()
@click.argument("kind", type=click.Choice(["sweep", "ladder"]), help="Kind of the file.")
@click.option("--path", is_flag=True, help="Print the path of the schema instead.")
def schema(kind: FileKind, path: bool) -> None:
    """Print the JSON Schema of sweep or ladder files, for completion and validation in an editor.

    An editor with a YAML language server (VS Code's YAML extension, Neovim, Emacs, JetBrains) reads it from the first
    line of the file, which `sweeps init` writes: # yaml-language-server: $schema=PATH

    \b
    Example:
      sweeps schema sweep --path
      sweeps schema ladder > ladder.schema.json
    """
    from sweeps.files.schema import schema_file, schema_text

    click.echo(str(schema_file(kind)) if path else schema_text(kind), nl=path)
