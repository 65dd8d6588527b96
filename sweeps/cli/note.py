"""`sweeps note`."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import A_RUN, runs_option
from sweeps.cli.param_types import RUN


@click.command()
@click.argument("run", type=RUN, help=A_RUN)
@click.argument("text", required=False, default="", help="The note.  [default: print the notes of RUN]")
@click.option("--tag", "labels", multiple=True, metavar="WORD", help="Add a tag; repeatable.")
@click.option("--untag", "removed", multiple=True, metavar="WORD", help="Remove a tag; repeatable.")
@runs_option
def note(run: str, text: str, labels: tuple[str, ...], removed: tuple[str, ...], runs: Path) -> None:
    """Add a note or tags to a recorded run, also while it trains.

    The note is added to the description of the run in MLflow, and text typed there is shown as its note: nothing that
    a person wrote is overwritten. `sweeps show`, `leaderboard` (columns tags and note) and `report` show both. The note
    of a configuration is that of its trial in the search.

    \b
    Example:
      sweeps note quick-003 "loss spikes at epoch 3" --tag suspicious
      sweeps note quick-003
      sweeps leaderboard quick --where "tags like '%suspicious%'"
    """
    from sweeps.record.mapping import labels_of, note_of
    from sweeps.record.notes import add_note
    from sweeps.record.reader import MlflowReader
    from sweeps.views.names import find_named

    row = find_named(MlflowReader(runs), run).defining_row
    tags = add_note(runs, str(row["run_id"]), text=text, labels=labels, removed=removed)
    click.echo(note_of(tags) or "no note")
    click.echo(f"tags: {', '.join(labels_of(tags)) or 'none'}")
