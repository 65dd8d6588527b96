"""`sweeps judge`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import run_options, seconds_of, set_option
from sweeps.cli.paper import SCREEN, paper_options, write_paper_tables
from sweeps.cli.param_types import RUN
from sweeps.core.exit_codes import AnswerCode, ExitCode

if TYPE_CHECKING:
    from sweeps._api.judge import Judged
    from sweeps.driver.options import RunKeywords

A_CONFIGURATION = (
    "A recorded run or configuration (quick-003, ladder/deep), a file with one configuration (best.yaml, "
    "ladder.yaml:deep), or changes to the other one ('optimizer.lr=0.05 model.width=32')."
)


def _confidence(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0.5 <= value < 1:
        raise click.BadParameter(f"{value:g} is not a probability from 0.5 to below 1. Write 0.95 for 95 %.")
    return value


@click.command(epilog=f"Exit codes of an answer: {AnswerCode.listed()}.")
@click.argument("first", type=RUN, required=False, help=A_CONFIGURATION)
@click.argument("second", type=RUN, required=False, help="As FIRST. Without both, all questions are listed.")
@click.option(
    "--until",
    type=float,
    metavar="SHARE",
    callback=_confidence,
    help="Confidence of all answers of the runs folder together, fixed by its first question; more for a single one.  "
    "[default: 0.95]",
)
@click.option(
    "--budget", metavar="TIME", default="20m", show_default=True, callback=seconds_of, help="Time of this call."
)
@click.option(
    "--margin",
    type=click.FloatRange(min=0, min_open=True),
    help="A difference that does not matter, in points, or in the unit of another metric.  [default: 1 point]",
)
@click.option("--seeds-at-most", type=click.IntRange(min=2), help="Largest number of seeds.  [default: no limit]")
@set_option
@paper_options
@run_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON (`sweeps schema json judge`).")
def judge(
    first: str | None,
    second: str | None,
    until: float | None,
    budget: float,
    margin: float | None,
    seeds_at_most: int | None,
    overrides: tuple[str, ...],
    md_to: str | None,
    latex_to: str | None,
    runs: Path,
    as_json: bool,
    how: RunKeywords,
) -> None:
    """Answer whether the first configuration is better than the second: train both under new seeds until it is known.

    Both get the same seeds, one after the other. The answer is looked at after each and is still right: of all answers
    in a runs folder, however many questions are asked, at most 5 % are expected to be wrong. The same command continues
    a question, and trains nothing once it is answered. It never uses the test set.

    \b
    Example:
      sweeps judge quick-003 quick-007
      sweeps judge 'optimizer.lr=0.05' quick-003 --budget 10m --margin 0.5 --json
      sweeps judge mine.yaml ladder/deep --set epochs=3
      sweeps judge quick-003 quick-007 --latex judge.tex
      sweeps judge
    """
    from sweeps._api.judge import judge as judged
    from sweeps._api.judge import questions
    from sweeps.cli.terminal import console

    if first is None:
        asked = questions(runs)
        click.echo(asked.to_json()) if as_json else asked.print_to(console())
        return
    if second is None:
        raise click.UsageError(f"{first} is compared with nothing. Name a second configuration.")
    if [md_to, latex_to, SCREEN if as_json else None].count(SCREEN) > 1:
        raise click.UsageError("--json, --md and --latex would print to one screen. Give --md or --latex a file.")
    sys.exit(
        _ask(
            lambda on_start: judged(
                first,
                second,
                until=until,
                budget=budget,
                margin=margin,
                seeds_at_most=seeds_at_most,
                overrides=overrides,
                runs=runs,
                on_start=on_start,
                **how,
            ),
            as_json=as_json,
            tables={"md": md_to, "latex": latex_to},
            runs=runs,
        )
    )


def _ask(
    call: Callable[[Callable[[str], None]], Judged], *, as_json: bool, tables: Mapping[str, str | None], runs: Path
) -> int:
    """Ask, print the answer, and return the exit code."""
    from sweeps.analysis.judging import Answer
    from sweeps.cli.run import print_failures
    from sweeps.cli.terminal import console
    from sweeps.core.formatting import duration, plural
    from sweeps.driver.options import Interrupted
    from sweeps.system.output import stdout_to_stderr

    with stdout_to_stderr() if as_json else contextlib.nullcontext():
        try:
            found = call(click.echo)
        except Interrupted:
            click.echo("Interrupted. All finished epochs are saved. Run the same command again to continue.")
            return ExitCode.INTERRUPTED
        if found.summary.trained:
            click.echo(f"trained {plural(found.summary.trained, 'run')} in {duration(found.summary.seconds)}")
        code = print_failures(found.summary, runs=runs)
    click.echo(found.to_json()) if as_json else found.print_to(console())
    write_paper_tables(lambda: found.paper(runs=runs), tables)
    if found.answer is Answer.OPEN and code:
        return code
    return AnswerCode[found.answer.name]
