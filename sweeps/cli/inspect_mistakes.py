"""`sweeps inspect mistakes`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.options import A_RUN_OR_SWEEP
from sweeps.cli.param_types import SWEEP_OR_RUN
from sweeps.cli.picture_output import Picture, deliver, picture_options
from sweeps.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from sweeps.use.mistakes import Mistake, Mistakes


@click.command()
@click.argument("name", type=SWEEP_OR_RUN, metavar="RUN|SWEEP", help=A_RUN_OR_SWEEP)
@click.option("--validation", is_flag=True, help="Use the validation images instead of the test set.")
@click.option("--count", type=click.IntRange(1, 120), default=24, show_default=True, help="Maximum number of images.")
@click.option("--is", "truth", metavar="CLASS", help="Only images of this class.")
@click.option("--as", "taken_for", metavar="CLASS", help="Only images that were predicted as this class.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of drawing.")
@picture_options
def mistakes(
    name: str,
    validation: bool,
    count: int,
    truth: str | None,
    taken_for: str | None,
    as_json: bool,
    out: Path | None,
    opens: bool,
    runs: Path,
) -> None:
    """Draw the wrong predictions of an evaluated run, the most confident first.

    The test set is sealed: only a run that `sweeps finalize` or a ladder has evaluated is shown. That is no further
    test-set access and changes no record. For any other run, --validation draws the validation images. Each prediction
    is compared with the record, image by image; if they differ, a warning is printed and the exit code is 1.

    \b
    Example:
      sweeps inspect mistakes quick --is cat --as dog
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.use.mistakes import find_mistakes

    of = find_mistakes(MlflowReader(runs), name, runs=runs, of="validation" if validation else "test")
    true_class, predicted = (_class(value, of, f"--{name}") for value, name in ((truth, "is"), (taken_for, "as")))
    fitting = [each for each in of.found if true_class in (None, each.truth) and predicted in (None, each.predicted)]
    shown = fitting[:count]
    if as_json:
        click.echo(json.dumps([_record(each, of.class_names) for each in shown], indent=2))
    else:
        click.echo(_headline(of))
        click.echo(f"compared with {of.checked}: {'the same' if of.disagreement is None else 'not the same'}")
        if not shown:
            click.echo("no mistake matches --is and --as" if of.found else "there are no mistakes")
    if shown and (out is not None or not as_json):
        deliver(_picture(of, shown, fitting=len(fitting)), out=out, opens=opens, runs=runs)
    if of.disagreement is not None:
        click.echo(f"warning: {of.disagreement}", err=True)
        sys.exit(ExitCode.FAILED)


def _class(name: str | None, of: Mistakes, option: str) -> int | None:
    """Return the number of a class."""
    from cifar_core.common.errors import closest

    if name is not None and name not in of.class_names:
        raise click.BadParameter(f"no class {name!r}: {closest(name, of.class_names)}", param_hint=f"'{option}'")
    return None if name is None else of.class_names.index(name)


def _headline(of: Mistakes) -> str:
    from sweeps.core.formatting import accuracy

    return f"{of.run}: {len(of.found):,} of {of.images:,} {of.of} images wrong, {accuracy(of.accuracy)} right"


def _picture(of: Mistakes, shown: Sequence[Mistake], *, fitting: int) -> Picture:
    from sweeps.use.run_pictures import mistakes_picture

    names, headline = of.class_names, _headline(of).partition(": ")[2]
    part = f"; {fitting:,} match --is and --as" if fitting < len(of.found) else ""
    worst = shown[0]
    return Picture(
        png=mistakes_picture(of, shown, about=f"{headline}{part}"),
        name=f"mistakes-{of.run}-{of.of}",
        title=f"Mistakes of {of.run}",
        alt=f"{len(shown)} small photographs that {of.run} misclassified. The most confident mistake: a "
        f"{names[worst.truth]} predicted as {names[worst.predicted]} with {100 * worst.probability:.1f} %.",
        notes=(f"{headline}{part}.",),
        headings=("image", "true class", "predicted", "%", "% of true class"),
        rows=[
            (
                str(each.number),
                names[each.truth],
                names[each.predicted],
                f"{100 * each.probability:.2f}",
                f"{100 * each.probabilities_K[each.truth]:.2f}",
            )
            for each in shown
        ],
    )


def _record(each: Mistake, names: Sequence[str]) -> dict[str, Any]:
    return {
        "image": each.number,
        "is": names[each.truth],
        "taken_for": names[each.predicted],
        "probabilities": {name: float(p) for name, p in zip(names, each.probabilities_K, strict=True)},
    }
