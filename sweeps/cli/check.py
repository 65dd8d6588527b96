"""`sweeps check`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click

from sweeps.cli.options import set_option
from sweeps.cli.param_types import YAML_FILE
from sweeps.core.exit_codes import ExitCode


@click.command()
@click.argument("file", type=YAML_FILE, help="Sweep or ladder file.")
@set_option
@click.option(
    "--epochs", type=click.IntRange(min=1), default=3, show_default=True, help="Largest number of epochs per training."
)
@click.option("--ignore", "ignored", multiple=True, metavar="METRIC", help="Metric that is not compared; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(file: Path, overrides: tuple[str, ...], epochs: int, ignored: tuple[str, ...], as_json: bool) -> None:
    """Check on a small budget that a training is reproducible, resumable and isolated.

    The first configuration of the file is trained in new processes: twice with the same seed, once with another, once
    resumed after an interruption, and once after other trials in the same process. It prints one line per promise: ok,
    FAILED with what to do, or skipped. Nothing is recorded. The exit code is 0 if no promise failed, else 1.

    \b
    Example:
      sweeps check mine.yaml
      sweeps check mine.yaml --epochs 2 --ignore seconds
      sweeps check mine.yaml --json
    """
    from sweeps.driver.check import Verdict, check_of_file
    from sweeps.system.output import terminal_copy

    with terminal_copy() as screen, contextlib.ExitStack() as shown:
        spinner = shown.enter_context(screen.status("")) if screen.is_terminal else None
        found = check_of_file(
            file,
            overrides=overrides,
            epochs=epochs,
            ignored=ignored,
            on_stage=spinner.update if spinner is not None else lambda text: None,
        )
        for line in found.run():
            if not as_json:
                text = f"{line.verdict:<8} {line.title}: {line.text}"
                screen.print(text, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        click.echo(json.dumps(found.report(), indent=2, ensure_ascii=False))
    else:
        kept = sum(line.verdict is Verdict.OK for line in found.lines)
        failed = sum(line.verdict is Verdict.FAILED for line in found.lines)
        click.echo(f"{found.label}: {kept} ok, {failed} failed")
    click.get_current_context().exit(ExitCode.FAILED if found.has_failed else ExitCode.DONE)
