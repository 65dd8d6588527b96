"""`sweeps gc`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import runs_option
from sweeps.core.errors import SweepError

if TYPE_CHECKING:
    from sweeps.upkeep.garbage import Garbage


@click.command()
@runs_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
def gc(runs: Path, yes: bool, dry_run: bool) -> None:
    """Delete files that nothing refers to, after printing their size by kind and in total.

    These are: checkpoints that no trial resumes from, second copies of the checkpoints of complete trials, partial
    files of killed writers, data of runs that were deleted in MLflow (in the runs folder's own database), and files of
    interrupted reruns. The weights of complete trials and running sweeps are left alone.

    \b
    Example:
      sweeps gc --dry-run
      sweeps gc --yes
    """
    from sweeps.core.formatting import bytes_in_words
    from sweeps.upkeep.garbage import Collection, find_garbage, free, locked_garbage, total

    def show(collection: Collection) -> None:
        for sentence in collection.skipped:
            click.echo(f"skipped: {sentence}")
        _print_kinds(collection.found)

    if dry_run:
        show(find_garbage(runs))
        return
    with locked_garbage(runs) as collection:
        show(collection)
        if not collection.found:
            return
        if not yes:
            click.confirm(f"delete {bytes_in_words(total(collection.found))}?", abort=True)
        freed, failures = 0, list[str]()
        for garbage in collection.found:
            if failures and garbage.run_ids:
                failures.append("the rows of deleted runs were kept, because they name the folders of the artifacts")
                continue
            try:
                freed += free(garbage, runs=runs)
            except SweepError as error:
                failures.append(str(error))
    click.echo(f"freed {bytes_in_words(freed)} ({freed:,} bytes)")
    if failures:
        raise SweepError("\n".join(failures))


def _print_kinds(found: Sequence[Garbage]) -> None:
    from sweeps.core.formatting import bytes_in_words
    from sweeps.upkeep.garbage import Kind, total

    if not found:
        click.echo("nothing to delete")
        return
    for kind in Kind:
        some = [garbage for garbage in found if garbage.kind is kind]
        if some:
            count = sum(max(1, len(garbage.run_ids)) for garbage in some if kind is not Kind.DELETED_RUN)
            count = count or sum(len(garbage.run_ids) for garbage in some)
            rows = ", and their rows in mlflow.db" if kind is Kind.DELETED_RUN else ""
            click.echo(f"{count:>6,} {kind.value}: {bytes_in_words(total(some))} ({total(some):,} bytes){rows}")
    click.echo(f"in total {bytes_in_words(total(found))} ({total(found):,} bytes)")
