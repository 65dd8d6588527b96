"""`sweeps evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import A_RUN_OR_SWEEP, FILE, runs_option
from sweeps.cli.param_types import SWEEP_OR_RUN

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.use.further_tests import Evaluated, FurtherResults
    from sweeps.use.validated import Validated


@click.command()
@click.argument("name", type=SWEEP_OR_RUN, metavar="RUN|SWEEP", help=A_RUN_OR_SWEEP)
@click.option(
    "--on",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Further test set: npy:FILE with its labels next to it, npy:FOLDER for all such files in it, or npz:FILE with "
    "images and labels; repeatable.  [default: the validation images]",
)
@click.option(
    "--labels",
    type=FILE,
    help="Labels of npy sources.  [default: NAME_labels.npy next to NAME_data.npy, else labels.npy]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@runs_option
def evaluate(name: str, sources: tuple[str, ...], labels: Path | None, as_json: bool, runs: Path) -> None:
    """Evaluate kept runs on their validation images, or a finalized configuration on further test sets.

    Without --on: accuracy, calibration (expected calibration error over bins of confidence) and temperature of each
    run whose weights are kept, the accuracy of each class with its gap to the others, and an ensemble of these runs,
    chosen greedily. What is fitted or chosen on one half of the images is measured on the other. No test image is
    used.

    With --on, on sets such as CIFAR-10.1 and CIFAR-10-C: all runs of the configuration that `sweeps finalize`, or a
    ladder, has evaluated on the test part of their own data, each once per test set. A second call prints the recorded
    result. Each access is appended to test_looks.jsonl like that of `finalize`, with the name and the fingerprint of
    the test set. A file of CIFAR-10-C has a result for each severity.

    \b
    Example:
      sweeps evaluate quick
      sweeps evaluate quick/3 --json
      sweeps evaluate quick --on npy:cifar10.1_v6_data.npy
      sweeps evaluate quick --on npy:CIFAR-10-C --json
      sweeps evaluate ladder/deep --on npz:street.npz
    """
    if not sources:
        if labels is not None:
            raise click.UsageError("--labels belongs to --on npy:FILE")
        _evaluate_on_validation(name, as_json=as_json, runs=runs)
        return
    from sweeps.cli.terminal import console
    from sweeps.record.reader import MlflowReader
    from sweeps.use.further_tests import evaluate as open_test_sets

    found = open_test_sets(
        MlflowReader(runs),
        name,
        sources,
        runs=runs,
        labels=labels,
        on_measure=lambda text: click.echo(text, err=True),
    )
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        _print(found, console())


def _evaluate_on_validation(name: str, *, as_json: bool, runs: Path) -> None:
    from sweeps.cli.terminal import console
    from sweeps.record.reader import MlflowReader
    from sweeps.use.validated import validate

    found = validate(MlflowReader(runs), name, runs=runs, on_run=lambda run: click.echo(f"evaluating {run}", err=True))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        _print_validated(found, console())


def _print_validated(found: Validated, output: Console) -> None:
    from collections import Counter

    from sweeps.analysis.calibration import BINS
    from sweeps.core.formatting import percent, points, print_sentence
    from sweeps.views.tables import print_columns

    rows = [
        (
            each.run,
            percent(each.accuracy),
            f"{each.log_loss:.4f}",
            percent(each.calibration.error),
            f"{each.temperature:.2f}",
            percent(each.error_after_scaling),
        )
        for each in found.runs
    ]
    if found.ensemble is not None:
        rows.append(("ensemble", percent(found.ensemble.accuracy), f"{found.ensemble.log_loss:.4f}", "", "", ""))
    headings = ("run", "val acc %", "val loss", "ECE %", "temperature", "ECE % with it")
    print_columns(dict(zip(headings, map(list, zip(*rows, strict=True)), strict=True)), output, left={"run"})
    print_sentence(
        output,
        f"{found.images:,} validation images. ECE: expected calibration error over {BINS} bins. The temperature is "
        "fitted on all images; its ECE is measured on the half that did not fit it.",
        style="dim",
    )
    if found.ensemble is not None:
        counts = Counter(found.runs[index].run for index in found.ensemble.members)
        members = ", ".join(f"{count} × {run}" if count > 1 else run for run, count in counts.items())
        print_sentence(
            output,
            f"ensemble: the mean probabilities of {members}, chosen greedily on all images. Its accuracy and loss are "
            "those of ensembles that were chosen on the other half.",
            style="dim",
        )
    output.print()
    named = [(name, each) for name, each in zip(found.class_names, found.classes, strict=True) if each is not None]
    named.sort(key=lambda pair: pair[1].accuracy)
    classes = {
        "class": [name for name, _ in named],
        "images": [f"{each.images:,}" for _, each in named],
        "acc %": [f"{percent(each.accuracy)} ({percent(each.low)}–{percent(each.high)})" for _, each in named],
        "gap to the others, points": [
            f"{points(100 * each.gap)} ({points(100 * each.gap_low)} to {points(100 * each.gap_high)})"
            for _, each in named
        ],
    }
    print_columns(classes, output, left={"class"})
    output.print()
    bins = found.runs[0].calibration.bins
    confidences = {
        "confidence": [f"{each.low:.2f}–{each.high:.2f}" for each in bins],
        "images": [f"{each.images:,}" for each in bins],
        "mean confidence %": [percent(each.confidence) for each in bins],
        "acc %": [percent(each.accuracy) for each in bins],
    }
    print_columns(confidences, output)
    print_sentence(output, f"classes and confidences: of {found.runs[0].run}, with 95 % intervals", style="dim")


def _print(found: Evaluated, output: Console) -> None:
    from rich.table import Table

    from sweeps.core.formatting import plural, print_sentence
    from sweeps.views.show import print_confusion

    severities = max(len(each.runs[0].accuracies) for each in found.results)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("test set", overflow="fold")
    for heading in ("images", "runs", "acc %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number in range(1, severities + 1) if severities > 1 else ():
        table.add_column(f"severity {number}" if number == 1 else str(number), justify="right", no_wrap=True)
    own = found.own_accuracies
    table.add_row("own test part", "", str(len(own)), _mean(own), style="dim")
    for each in found.results:
        table.add_row(each.name, f"{each.images:,}", str(len(each.runs)), *_cells(each))
    if len(found.results) > 1:
        means = [sum(run.accuracy for run in each.runs) / len(each.runs) for each in found.results]
        table.add_row("mean of these", "", "", _mean_of(means), style="bold")
    output.print(table)
    confusions = [run.confusion for run in found.results[0].runs]
    if len(found.results) == 1 and None not in confusions:
        summed = [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*confusions, strict=True)]
        print_confusion(summed, output, class_names=found.class_names, heading="acc %")
    done = f"{plural(found.measured, 'evaluation')} of {found.name}"
    print_sentence(output, done if found.measured else "nothing to evaluate: all results are already recorded")
    for line in found.accesses:
        print_sentence(output, line)


def _cells(results: FurtherResults) -> list[str]:
    by_severity = list(zip(*(run.accuracies for run in results.runs), strict=True))
    cells = [_mean([run.accuracy for run in results.runs])]
    return cells + ([_mean_of(values) for values in by_severity] if len(by_severity) > 1 else [])


def _mean(values: Sequence[float]) -> str:
    """Return the mean of runs with its 95 % interval, in percent."""
    from sweeps.analysis.statistics import mean_and_interval
    from sweeps.core.formatting import percent

    mean, low, high = mean_and_interval(values)
    return percent(mean) if low is None or high is None else f"{percent(mean)} ({percent(low)}–{percent(high)})"


def _mean_of(values: Sequence[float]) -> str:
    from sweeps.core.formatting import percent

    return percent(sum(values) / len(values))
