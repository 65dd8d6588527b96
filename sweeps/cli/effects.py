"""`sweeps effects`: what each searched parameter did."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import FILE, runs_option
from sweeps.cli.param_types import SweepName
from sweeps.core.errors import SweepError


@click.command()
@click.argument("sweep", type=SweepName())
@runs_option
@click.option("--csv", "csv_file", type=FILE, help="Write one row a value to a file instead.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def effects(sweep: str, runs: Path, csv_file: Path | None, as_json: bool) -> None:
    """Say what helped: how much each searched parameter matters, and what each of its values adds.

    All trials are used, those that were stopped early too. Effects come with their 95 % interval; where the trials
    cannot tell, it says about how many more it would take.

    \b
    Example:
      sweeps effects quick
      sweeps effects quick --csv effects.csv
    """
    from sweeps._api.functions import effects as effects_of_sweep
    from sweeps.cli.terminal import console
    from sweeps.views.effects_table import effects_to_csv, effects_to_json, print_effects

    found = effects_of_sweep(sweep, runs=runs)
    if csv_file is not None:
        try:
            rows = effects_to_csv(found, csv_file)
        except OSError as error:
            raise SweepError(f"{csv_file} cannot be written ({error.strerror}): name another file") from None
        click.echo(f"{rows} rows written to {csv_file}")
    elif as_json:
        click.echo(effects_to_json(found))
    else:
        print_effects(found, console())
