"""Compare two configurations or runs: parameters, results, learning curves, and a test of the difference."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

from sweeps.analysis.pairs import ALPHA, DID_NOT_LEARN, MIN_RECIPE_SEEDS, compare_answers, compare_recipes
from sweeps.analysis.ranking import is_maximized
from sweeps.analysis.statistics import mean_and_interval
from sweeps.core.errors import RecordError
from sweeps.core.formatting import (
    metric_cell,
    metric_heading,
    p_in_words,
    percent,
    plural,
    points,
    print_sentence,
)
from sweeps.core.measure import Measure
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome
from sweeps.files.difference import changes_between
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.tasks.registry import task_of
from sweeps.tasks.values import value_text
from sweeps.views.columns import status_text
from sweeps.views.names import NamedRuns

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Row


_MAX_CURVES = 3
"""Number of metrics of a custom training in the table of epochs."""


def print_comparison(ours: NamedRuns, theirs: NamedRuns, reader: RecordReader, console: Console) -> None:
    """Print differing parameters, results and curves of two runs, and a test if both have the same test images.

    For configurations, the means over the seeds are compared and tested.
    """
    first, second = ours.row, theirs.row
    names = [named.run_name(named.row) for named in (ours, theirs)]
    if names[0] == names[1]:
        names = [row["run_id"][:8] for row in (first, second)]
    for named in (ours, theirs):
        if len(named.rows) > 1:
            runs = ", ".join(map(named.run_name, named.rows))
            print_sentence(console, f"{named.name}: a configuration with {len(named.rows)} runs: {runs}")
    _print_configurations(first, second, reader, console, names=names)
    _print_results(first, second, console, names=names)
    _print_classes(first, second, reader, console, names=names)
    _print_curves(reader.curve(first["run_id"]), reader.curve(second["run_id"]), console, names=names)
    if len(ours.rows) == len(theirs.rows) == 1:
        sentences = _compare_runs(first, second, reader, names=names)
    else:
        sentences = _compare_configurations(ours, theirs)
    for sentence in sentences:
        print_sentence(console, sentence)


def _print_configurations(first: Row, second: Row, reader: RecordReader, console: Console, *, names: list[str]) -> None:
    try:
        before, after = (reader.configuration(row["run_id"]) for row in (first, second))
    except RecordError as error:
        print_sentence(console, f"the configurations cannot be compared: {error}")
        return
    changes = changes_between(before, after)
    if first["seed"] != second["seed"]:
        print_sentence(console, f"seeds: {first['seed']} and {second['seed']}")
    if not changes:
        same_source = first["source"] == second["source"]
        print_sentence(console, "same configuration" + ("" if same_source else ", different code"))
        return
    table = _table("differs in", *names)
    for change in changes:
        table.add_row(change.path, value_text(change.before), value_text(change.after))
    console.print(table)


_RESULT_COLUMNS = ("val_accuracy", "test_accuracy", "epochs", "train_seconds", "parameters_millions", "protocol")


def _measure_of(first: Row, second: Row) -> Measure | None:
    """Return the metric of the searches of two runs, unless it is an accuracy of images or they differ in it."""
    name = first["metric"]
    if name is None or name == "val_accuracy" or name != second["metric"]:
        return None
    return Measure(name=name, maximize=is_maximized(first))


def _print_results(first: Row, second: Row, console: Console, *, names: list[str]) -> None:
    table = _table("result", *names)
    table.add_row("status", *map(status_text, (first, second)))
    if (measure := _measure_of(first, second)) is not None:
        cells = [metric_cell(measure.name, row["metric_value"]) for row in (first, second)]
        table.add_row(metric_heading(measure.name), *cells)
    for name in _RESULT_COLUMNS:
        cells = [RECORD_COLUMNS[name].cell(row[name]) for row in (first, second)]
        if any(cells):
            table.add_row(RECORD_COLUMNS[name].heading, *cells)
    console.print(table)


def _print_classes(first: Row, second: Row, reader: RecordReader, console: Console, *, names: list[str]) -> None:
    tested = first["test_accuracy"] is not None and second["test_accuracy"] is not None
    if not tested and first["protocol"] != second["protocol"]:
        return  # measured on different images
    of: Literal["test", "validation"] = "test" if tested else "validation"
    ours, theirs = (reader.confusion(row["run_id"], of=of) for row in (first, second))
    if ours is None or theirs is None:
        return
    config = reader.configuration(first["run_id"])
    class_names = task_of(config).class_names(config)
    table = _table("test acc % of" if tested else "val acc % of", *names, "difference")
    for index, name in enumerate(class_names):
        shares = [counts[index][index] / max(sum(counts[index]), 1) for counts in (ours, theirs)]
        table.add_row(name, *map(percent, shares), points(100 * (shares[1] - shares[0])))
    console.print(table)


def _print_curves(ours: list[EpochResult], theirs: list[EpochResult], console: Console, *, names: list[str]) -> None:
    """Print metrics of each epoch: accuracy and loss of a network, else the first ones of a custom training."""
    recorded = list(dict.fromkeys(name for epoch in (*ours[:1], *theirs[:1]) for name in epoch.metrics))
    columns = {"val_accuracy": "val acc %", "train_loss": "train loss"}
    if not recorded or not set(columns) <= set(recorded):
        columns = {name: metric_heading(name) for name in recorded[:_MAX_CURVES]}
    table = _table("epoch", *(f"{heading} {name}" for heading in columns.values() for name in names))
    for epoch, pair in enumerate(zip_longest(ours, theirs), start=1):
        cells = ["" if each is None else metric_cell(metric, each.value(metric)) for metric in columns for each in pair]
        table.add_row(str(epoch), *cells)
    if ours or theirs:
        console.print(table)


def _compare_configurations(ours: NamedRuns, theirs: NamedRuns) -> list[str]:
    """Return the comparison of two configurations over all their seeds, as sentences."""
    sides = [_counted_runs(named) for named in (ours, theirs)]
    for named, seeds in zip((ours, theirs), sides, strict=True):
        if not seeds:
            return [f"not compared: {named.name} has no complete run that learned"]
    if ours.defining_row["run_id"] == theirs.defining_row["run_id"]:
        return ["no significance test: both are runs of the same configuration"]
    sentences = []
    searched = _measure_of(ours.defining_row, theirs.defining_row)
    compared = [] if searched is None else [(searched.name, "metric_value", searched)]
    compared += [
        (of, column, Measure(name=column)) for of, column in (("validation", "val_accuracy"), ("test", "test_accuracy"))
    ]
    for of, column, measure in compared:
        first, second = ({row["seed"]: row[column] for row in seeds if row[column] is not None} for seeds in sides)
        if first and second:
            same = of == "test" or sides[0][0]["protocol"] == sides[1][0]["protocol"]
            means = [_mean(*each, measure=measure) for each in ((ours.name, first), (theirs.name, second))]
            sentences.append(f"{of}: {'; '.join(means)}")
            paired = ours.defining_row["rung"] is not None
            sentences.append(
                _difference(first, second, names=(ours.name, theirs.name), paired=paired, measure=measure)
                if same
                else "not compared: different images or budgets"
            )
    return sentences or ["not compared: no results of the same metric"]


def _counted_runs(named: NamedRuns) -> list[Row]:
    """Return the runs that count for the mean of a configuration, as on the leaderboard."""
    complete = {row["seed"]: row for row in reversed(named.rows) if row["status"] == Outcome.COMPLETE}
    counted = named.confirming or list(complete.values())
    return [row for row in counted if not row["did_not_learn"]]


def _mean(name: str, values: Mapping[int, float], *, measure: Measure) -> str:
    mean, low, high = mean_and_interval(list(values.values()), is_share=measure.is_share)
    interval = "" if low is None or high is None else f", 95 % interval {measure.interval(low, high)}"
    return f"{name} {measure.value(mean)} ({plural(len(values), 'seed')}{interval})"


def _difference(
    first: Mapping[int, float],
    second: Mapping[int, float],
    *,
    names: tuple[str, str],
    paired: bool,
    measure: Measure,
) -> str:
    found = compare_recipes(second, first, paired=paired, factor=measure.factor)
    if found.p_value is None or found.low is None or found.high is None:
        each = "".join(f"; seed {seed} {measure.difference(value)}" for seed, value in found.by_seed.items())
        missing = MIN_RECIPE_SEEDS - (len(found.by_seed) if paired else min(len(first), len(second)))
        why = f"{plural(missing, 'more seed')} of each needed" if missing > 0 else "no variance between seeds"
        return f"{names[1]} minus {names[0]}: no significance test ({why}){each}"
    finding = "significant at the 5 % level" if found.p_value <= ALPHA else "no significant difference"
    return (
        f"{names[1]} minus {names[0]}: {measure.difference(found.difference)} (95 % interval "
        f"{measure.signed(found.low)} to {measure.signed(found.high)}; {found.test}, {p_in_words(found.p_value)}): "
        f"{finding}"
    )


def _compare_runs(first: Row, second: Row, reader: RecordReader, *, names: list[str]) -> list[str]:
    """Return the comparison of two runs as sentences."""
    sentences = []
    for row, name in zip((first, second), names, strict=True):
        if row["did_not_learn"]:
            sentences.append(f"{name} is not compared. It {DID_NOT_LEARN}")
    if sentences:
        return sentences
    if _measure_of(first, second) is not None and first["val_accuracy"] is None:
        same = first["protocol"] == second["protocol"]
        why = "two single runs show no variance" if same else "the runs have different budgets"
        return [f"no significance test: {why}. Train several seeds of each with `sweeps replicate`"]
    if first["protocol"] != second["protocol"]:
        sentences.append("validation accuracies are not compared: different images or budgets")
    correct = [reader.correctness(row["run_id"]) for row in (first, second)]
    if correct[0] is None or correct[1] is None or len(correct[0]) != len(correct[1]):
        sentences.append("no significance test: the runs were not evaluated on the same test images")
        return sentences
    found = compare_answers(correct[1], correct[0])
    interval = (
        ""
        if found.low is None or found.high is None
        else f", 95 % interval {points(found.low)} to {points(found.high)}"
    )
    finding = "differ significantly" if found.p_value <= ALPHA else "do not differ significantly"
    sentences.append(
        f"on the same {len(correct[0]):,} test images these two runs {finding}: only {names[1]} is correct on "
        f"{found.only_first}, only {names[0]} on {found.only_second} "
        f"({points(found.difference)} points{interval}; McNemar's exact test, {p_in_words(found.p_value)})"
    )
    sentences.append(
        "this compares two runs. To compare two configurations, train several seeds of each with `sweeps replicate`"
    )
    return sentences


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, overflow="fold", justify="right")
    return table
