"""Two configurations or runs side by side: what they differ in, how they learned, and whether one is truly better."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

from sweeps.analysis.pairs import ALPHA, DID_NOT_LEARN, MIN_RECIPE_SEEDS, compare_answers, compare_recipes
from sweeps.analysis.statistics import mean_and_interval
from sweeps.core.errors import RecordError
from sweeps.core.formatting import accuracy, loss, p_in_words, percent, plural, points, print_sentence
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome
from sweeps.files.difference import changes_between
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.tasks.registry import IMAGES
from sweeps.tasks.values import value_text
from sweeps.views.columns import status_text
from sweeps.views.names import NamedRuns

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Row


def print_comparison(ours: NamedRuns, theirs: NamedRuns, reader: RecordReader, console: Console) -> None:
    """Print what two runs differ in, their results, their curves, and a test where both saw the same test images.

    Of configurations the results are means over the seeds, and what is tested is their difference.
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
        print_sentence(console, f"their configurations cannot be compared: {error}")
        return
    changes = changes_between(before, after)
    if first["seed"] != second["seed"]:
        print_sentence(console, f"seeds: {first['seed']} and {second['seed']}")
    if not changes:
        print_sentence(console, "one configuration" + ("" if first["source"] == second["source"] else ", two networks"))
        return
    table = _table("differs in", *names)
    for change in changes:
        table.add_row(change.path, value_text(change.before), value_text(change.after))
    console.print(table)


_RESULT_COLUMNS = ("val_accuracy", "test_accuracy", "epochs", "train_seconds", "parameters_millions", "protocol")


def _print_results(first: Row, second: Row, console: Console, *, names: list[str]) -> None:
    table = _table("result", *names)
    table.add_row("status", *map(status_text, (first, second)))
    for name in _RESULT_COLUMNS:
        cells = [RECORD_COLUMNS[name].cell(row[name]) for row in (first, second)]
        if any(cells):
            table.add_row(RECORD_COLUMNS[name].heading, *cells)
    console.print(table)


def _print_classes(first: Row, second: Row, reader: RecordReader, console: Console, *, names: list[str]) -> None:
    tested = first["test_accuracy"] is not None and second["test_accuracy"] is not None
    if not tested and first["protocol"] != second["protocol"]:
        return  # of other images
    of: Literal["test", "validation"] = "test" if tested else "validation"
    ours, theirs = (reader.confusion(row["run_id"], of=of) for row in (first, second))
    if ours is None or theirs is None:
        return
    table = _table("test acc % of" if tested else "val acc % of", *names, "difference")
    for index, name in enumerate(IMAGES.class_names):
        shares = [counts[index][index] / max(sum(counts[index]), 1) for counts in (ours, theirs)]
        table.add_row(name, *map(percent, shares), points(100 * (shares[1] - shares[0])))
    console.print(table)


def _print_curves(ours: list[EpochResult], theirs: list[EpochResult], console: Console, *, names: list[str]) -> None:
    table = _table("epoch", *(f"{what} {name}" for what in ("val acc %", "train loss") for name in names))
    for epoch, pair in enumerate(zip_longest(ours, theirs), start=1):
        accuracies = ["" if each is None else percent(each.value("val_accuracy")) for each in pair]
        losses = ["" if each is None else loss(each.value("train_loss")) for each in pair]
        table.add_row(str(epoch), *accuracies, *losses)
    if ours or theirs:
        console.print(table)


def _compare_configurations(ours: NamedRuns, theirs: NamedRuns) -> list[str]:
    """Return what can be said of two configurations by their seeds: never one seed picked of several."""
    sides = [_counted_runs(named) for named in (ours, theirs)]
    for named, seeds in zip((ours, theirs), sides, strict=True):
        if not seeds:
            return [f"{named.name} has no complete run that learned: it is compared with nothing"]
    if ours.own["run_id"] == theirs.own["run_id"]:
        return ["these are runs of one configuration: there is no difference to test"]
    sentences = []
    for of, column in (("validation", "val_accuracy"), ("test", "test_accuracy")):
        first, second = ({row["seed"]: row[column] for row in seeds if row[column] is not None} for seeds in sides)
        if first and second:
            same = of == "test" or sides[0][0]["protocol"] == sides[1][0]["protocol"]
            sentences.append(f"{of}: {_mean(ours.name, first)}; {_mean(theirs.name, second)}")
            sentences.append(
                _difference(first, second, names=(ours.name, theirs.name), paired=ours.own["rung"] is not None)
                if same
                else "these are of other images or budgets: they do not compare"
            )
    return sentences or ["they were not measured on the same kind of images: nothing can be compared"]


def _counted_runs(named: NamedRuns) -> list[Row]:
    """Return the runs that a configuration's mean comes from, as on the leaderboard."""
    complete = {row["seed"]: row for row in reversed(named.rows) if row["status"] == Outcome.COMPLETE}
    counting = named.confirming or list(complete.values())
    return [row for row in counting if not row["did_not_learn"]]


def _mean(name: str, accuracies: Mapping[int, float]) -> str:
    mean, low, high = mean_and_interval(list(accuracies.values()))
    interval = "" if low is None else f", 95 % interval {percent(low)} to {percent(high)} %"
    return f"{name} {accuracy(mean)} ({plural(len(accuracies), 'seed')}{interval})"


def _difference(
    first: Mapping[int, float], second: Mapping[int, float], *, names: tuple[str, str], paired: bool
) -> str:
    found = compare_recipes(second, first, paired=paired)
    if found.p_value is None or found.low is None or found.high is None:
        each = ", ".join(f"seed {seed} {points(difference)}" for seed, difference in found.by_seed.items())
        missing = MIN_RECIPE_SEEDS - (len(found.by_seed) if paired else min(len(first), len(second)))
        why = f"{plural(missing, 'more seed')} of both needed" if missing > 0 else "no seed differs from another"
        return f"{names[1]} to {names[0]}: not tested{': ' + each + ' points' if each else ''}; {why}"
    shown = "shown at the 5 % level" if found.p_value <= ALPHA else "no difference that can be shown"
    return (
        f"{names[1]} to {names[0]}: {points(found.difference)} points (95 % interval {points(found.low)} to "
        f"{points(found.high)}; {found.test}, {p_in_words(found.p_value)}): {shown}"
    )


def _compare_runs(first: Row, second: Row, reader: RecordReader, *, names: list[str]) -> list[str]:
    """Return what can be said of the difference: of two runs, never of two configurations."""
    sentences = []
    for row, name in zip((first, second), names, strict=True):
        if row["did_not_learn"]:
            sentences.append(f"{name} {DID_NOT_LEARN}: it is compared with nothing")
    if sentences:
        return sentences
    if first["protocol"] != second["protocol"]:
        sentences.append("their validation accuracies are of other images or budgets: they do not compare")
    answers = [reader.correctness(row["run_id"]) for row in (first, second)]
    if answers[0] is None or answers[1] is None or len(answers[0]) != len(answers[1]):
        sentences.append("they were not both tested on the same test images: no test can tell them apart")
        return sentences
    found = compare_answers(answers[1], answers[0])
    interval = (
        ""
        if found.low is None or found.high is None
        else f", 95 % interval {points(found.low)} to {points(found.high)}"
    )
    said = "differ" if found.p_value <= ALPHA else "do not differ measurably"
    sentences.append(
        f"on the same {len(answers[0]):,} test images these two runs {said}: {names[1]} is right on {found.only_first} "
        f"that {names[0]} misses, and the other way on {found.only_second} "
        f"({points(found.difference)} points{interval}; McNemar's exact test, {p_in_words(found.p_value)})"
    )
    sentences.append("this is of two runs; of two configurations several seeds of each say more (`sweeps replicate`)")
    return sentences


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, overflow="fold", justify="right")
    return table
