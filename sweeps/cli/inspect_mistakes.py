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


class _ClassName(click.ParamType[int]):
    """The name of a class, converted to its number."""

    name = "class"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from cifar_core.common.errors import closest
        from cifar_core.data.images import CLASS_NAMES

        if value not in CLASS_NAMES:
            self.fail(f"no class {value!r}: {closest(str(value), CLASS_NAMES)}", param, ctx)
        return CLASS_NAMES.index(value)


@click.command()
@click.argument("name", type=SWEEP_OR_RUN, metavar="RUN|SWEEP", help=A_RUN_OR_SWEEP)
@click.option("--validation", is_flag=True, help="Use the validation images instead of the test set.")
@click.option("--count", type=click.IntRange(1, 120), default=24, show_default=True, help="Maximum number of images.")
@click.option("--is", "truth", type=_ClassName(), metavar="CLASS", help="Only images of this class.")
@click.option(
    "--as", "taken_for", type=_ClassName(), metavar="CLASS", help="Only images that were predicted as this class."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of drawing.")
@picture_options
def mistakes(
    name: str,
    validation: bool,
    count: int,
    truth: int | None,
    taken_for: int | None,
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
    fitting = [each for each in of.found if truth in (None, each.truth) and taken_for in (None, each.predicted)]
    shown = fitting[:count]
    if as_json:
        click.echo(json.dumps([_record(each) for each in shown], indent=2))
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


def _headline(of: Mistakes) -> str:
    from sweeps.core.formatting import accuracy

    return f"{of.run}: {len(of.found):,} of {of.images:,} {of.of} images wrong, {accuracy(of.accuracy)} right"


def _picture(of: Mistakes, shown: Sequence[Mistake], *, fitting: int) -> Picture:
    from cifar_core.data.images import CLASS_NAMES
    from sweeps.use.run_pictures import mistakes_picture

    headline = _headline(of).partition(": ")[2]
    part = f"; {fitting:,} match --is and --as" if fitting < len(of.found) else ""
    worst = shown[0]
    return Picture(
        png=mistakes_picture(of, shown, about=f"{headline}{part}"),
        name=f"mistakes-{of.run}-{of.of}",
        title=f"Mistakes of {of.run}",
        alt=f"{len(shown)} small photographs that {of.run} misclassified. The most confident mistake: a "
        f"{CLASS_NAMES[worst.truth]} predicted as {CLASS_NAMES[worst.predicted]} with {100 * worst.probability:.1f} %.",
        notes=(f"{headline}{part}.",),
        headings=("image", "true class", "predicted", "%", "% of true class"),
        rows=[
            (
                str(each.number),
                CLASS_NAMES[each.truth],
                CLASS_NAMES[each.predicted],
                f"{100 * each.probability:.2f}",
                f"{100 * each.probabilities_K[each.truth]:.2f}",
            )
            for each in shown
        ],
    )


def _record(each: Mistake) -> dict[str, Any]:
    from cifar_core.data.images import CLASS_NAMES

    return {
        "image": each.number,
        "is": CLASS_NAMES[each.truth],
        "taken_for": CLASS_NAMES[each.predicted],
        "probabilities": {name: float(p) for name, p in zip(CLASS_NAMES, each.probabilities_K, strict=True)},
    }
