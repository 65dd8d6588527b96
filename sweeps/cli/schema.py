"""`sweeps schema`."""

from __future__ import annotations

from typing import cast

import click
from click.shell_completion import CompletionItem


class _Verb(click.ParamType[str]):
    """A verb with `--json`."""

    name = "verb"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from sweeps._api.json_schemas import OUTPUTS

        if value not in OUTPUTS:
            self.fail(f"{value!r} prints no JSON with a schema. Verbs that do: {', '.join(OUTPUTS)}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        from sweeps._api.json_schemas import OUTPUTS

        return [CompletionItem(verb) for verb in OUTPUTS if verb.startswith(incomplete)]


@click.command()
@click.argument("kind", type=click.Choice(["sweep", "ladder", "json"]), help="Kind of the file, or json for an output.")
@click.argument("verb", type=_Verb(), required=False, help="For json: the verb.")
@click.option("--path", is_flag=True, help="Print the path of the schema of a file instead.")
def schema(kind: str, verb: str | None, path: bool) -> None:
    """Print the JSON Schema of sweep or ladder files, or of what a verb prints with --json.

    An editor with a YAML language server (VS Code's YAML extension, Neovim, Emacs, JetBrains) reads that of a file from
    the first line of the file, which `sweeps init` writes: # yaml-language-server: $schema=PATH

    \b
    Example:
      sweeps schema sweep --path
      sweeps schema ladder > ladder.schema.json
      sweeps schema json judge
    """
    if (kind == "json") != (verb is not None):
        raise click.UsageError(
            "json needs a verb: sweeps schema json judge" if verb is None else f"only json takes a verb, not {kind}"
        )
    if verb is not None:
        if path:
            raise click.UsageError("--path is for the schemas of files: that of an output is not in a file")
        from sweeps._api.json_schemas import output_schema_text

        click.echo(output_schema_text(verb))
        return
    from sweeps.files.schema import FileKind, schema_file, schema_text

    file_kind = cast("FileKind", kind)
    click.echo(str(schema_file(file_kind)) if path else schema_text(file_kind), nl=path)
