"""`sweeps schema`: the JSON Schema by which an editor checks a file and completes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sweeps.files.schema import FileKind


@click.command()
@click.argument("kind", type=click.Choice(["sweep", "ladder"]))
@click.option("--path", is_flag=True, help="Print where it lies instead.")
def schema(kind: FileKind, path: bool) -> None:
    """Print the JSON Schema of sweep or of ladder files, by which an editor completes keys and marks mistakes.

    An editor with a YAML language server (VS Code's YAML extension, Neovim, Emacs, JetBrains) takes it from the file's
    first line, which `sweeps init` writes: # yaml-language-server: $schema=PATH

    \b
    Example:
      sweeps schema sweep --path
      sweeps schema ladder > ladder.schema.json
    """
    from sweeps.files.schema import schema_file, schema_text

    click.echo(str(schema_file(kind)) if path else schema_text(kind), nl=path)
