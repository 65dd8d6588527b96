"""`sweeps effects`."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import A_SEARCH, FILE, runs_option
from sweeps.cli.param_types import SweepName
from sweeps.core.errors import SweepError


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SEARCH)
@runs_option
@click.option("--csv", "csv_file", type=FILE, help="Write one row per value to a CSV file instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def effects(sweep: str, runs: Path, csv_file: Path | None, as_json: bool) -> None:
    """Estimate how much each searched parameter matters, and what each of its values adds.

    It uses all trials, including those that were stopped early. Each effect has a 95 % interval. Where the trials do
    not suffice, it estimates how many more are needed.

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
            raise SweepError(f"{csv_file} cannot be written ({error.strerror}). Choose another file.") from None
        click.echo(f"{rows} rows written to {csv_file}")
    elif as_json:
        click.echo(effects_to_json(found))
    else:
        print_effects(found, console())
