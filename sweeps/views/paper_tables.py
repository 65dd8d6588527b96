"""The leaderboard and the ladder as tables for a paper, with notes on test, correction, seeds, images and versions."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from sweeps.analysis.comparison import Finding, RungComparison, by_protocol, indistinguishable_from_first
from sweeps.analysis.judging import Answer, Judgement
from sweeps.analysis.pairs import ALPHA, MIN_MODERATED_COMPARISONS
from sweeps.analysis.rungs import RungRuns
from sweeps.core.formatting import is_accuracy, metric_cell, p_value, plural, short_names
from sweeps.core.measure import Measure
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.record.table import Row, Table
from sweeps.tasks.values import short_value
from sweeps.views.ladder_cells import difference_interval, difference_text
from sweeps.views.ladder_terms import terms_of
from sweeps.views.leaderboard_table import varying_parameters
from sweeps.views.names import name_of_run
from sweeps.views.paper import Cell, Measured, PaperTable

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader

_LEVEL = f"{100 * ALPHA:.0f} %"
_NOTHING_BOLD = "Nothing is bold: without two seeds or more of the best, no test can tell which others are as good."


def board_table(board: Table, *, seeds: Sequence[int] = (), versions: Mapping[str, str] | None = None) -> PaperTable:
    """Return the ranked configurations of the first protocol of a leaderboard.

    Args:
        board: From `query_leaderboard`, one row per configuration.
        seeds: Seeds of the confirming runs.
        versions: Name of a program, and its version or commit.
    """
    ranked = [row for row in board.rows if row["rank"] is not None]
    rows = [row for row in ranked if row["protocol"] == ranked[0]["protocol"]]
    metric = _metric(rows[0]) if rows else "val_accuracy"
    is_sure = bool(rows) and (rows[0]["replicates"] or 0) > 1
    columns: dict[str, list[Cell]] = {
        "rank": [str(row["rank"]) for row in rows],
        "configuration": [name_of_run(row) for row in rows],
        _heading(metric): [_measured(row, metric, is_best=is_sure and row["rank"] == rows[0]["rank"]) for row in rows],
        "n": [str(row["replicates"] or "") for row in rows],
    }
    for name in ("search_accuracy", "test_accuracy"):
        if any(row[name] is not None for row in rows) and name != metric:
            columns[_heading(name)] = [RECORD_COLUMNS[name].cell(row[name]) for row in rows]
    right = {"rank", "n", _heading("search_accuracy"), _heading("test_accuracy")}
    parameters = varying_parameters(board)
    for name, heading in zip(parameters, short_names(parameters), strict=True):
        columns[heading] = ["" if row[name] is None else short_value(row[name]) for row in rows]
        if all(row[name] is None or isinstance(row[name], int | float) for row in rows):
            right.add(heading)
    sweep = rows[0]["sweep"] if rows else "leaderboard"
    is_one = len({row["sweep"] for row in rows}) == 1
    return PaperTable(
        name=str(sweep) if is_one else "leaderboard",
        caption=f"Configurations of {sweep}" if is_one else "Configurations of all sweeps",
        columns=columns,
        right=frozenset(right),
        notes=tuple(_board_notes(board, rows, metric=metric, is_sure=is_sure, seeds=seeds, versions=versions or {})),
    )


def _board_notes(
    board: Table, rows: Sequence[Row], *, metric: str, is_sure: bool, seeds: Sequence[int], versions: Mapping[str, str]
) -> list[str]:
    if not rows:
        return [board.why_empty or "No configuration has a rank."]
    notes = [
        f"{_TITLES.get(metric, metric).capitalize()} after the last epoch, mean ± sample standard deviation over n "
        f"seeds; {rows[0]['protocol']}."
        if rows[0]["protocol"] is not None
        else f"{metric} after the last epoch, mean ± sample standard deviation over n seeds."
    ]
    if is_sure:
        compared = sum(row["p_holm"] is not None for row in rows)
        test = (
            f"two-sided Welch's t-test at the {_LEVEL} level, Holm's correction for {plural(compared, 'comparison')}"
            if rows[0]["confirm_until"] is None
            else f"anytime-valid t-test at the {100 - 100 * rows[0]['confirm_until']:g} % level"
        )
        notes.append(
            f"Bold: the best, and all that do not differ significantly from it ({test})."
            if compared
            else "Bold: the best of the confirmed configurations."
        )
    else:
        notes.append(_NOTHING_BOLD)
    confirmed = sum(bool(row["confirmed"]) for row in rows)
    if confirmed:
        under = f" under seeds {list_seeds(seeds)}" if seeds else ""
        notes.append(
            f"{plural(confirmed, 'configuration')} confirmed by runs{under}, which the search did not use"
            + ("." if confirmed == len(rows) else "; the others have the run that the search saw, and are optimistic.")
        )
        if (examples := rows[0]["confirm_examples"]) is not None:
            notes.append(f"These runs are measured on {plural(examples, 'image')} that the search did not use either.")
    left_out = max(len(board.rows), board.rows_in_all) - len(rows)
    if left_out:
        notes.append(f"{plural(left_out, 'row')} without a rank or of another protocol left out.")
    return [*notes, *_versions(versions)]


def ladder_table(
    name: str,
    comparisons: Sequence[RungComparison],
    rungs: Sequence[RungRuns],
    *,
    versions: Mapping[str, str] | None = None,
) -> PaperTable:
    """Return the rungs of a ladder with their gains.

    Args:
        name: Of the ladder.
        comparisons: Its rungs.
        rungs: The runs of each.
        versions: As in `board_table`.
    """
    terms = terms_of(comparisons)
    groups = by_protocol(comparisons)
    is_testable = any(len(group[0].values) > 1 for group in groups)
    best = [
        each.rung
        for group in groups
        for each in (group[0], *indistinguishable_from_first(group))
        if len(group[0].values) > 1
    ]
    columns: dict[str, list[Cell]] = {
        terms.row: [rung.rung for rung in comparisons],
        "change": [f"{rung.parent}: {rung.change}" if rung.parent and rung.change else "" for rung in comparisons],
        _heading(terms.measure.name): [_measured_rung(rung, is_best=rung.rung in best) for rung in comparisons],
        "n": [str(rung.seeds or "") for rung in comparisons],
        terms.difference: [_with_interval(rung) for rung in comparisons],
        "p (Holm)": ["" if rung.p_holm is None else p_value(rung.p_holm) for rung in comparisons],
    }
    return PaperTable(
        name=name,
        caption=f"{terms.heading} of {name}",
        columns=columns,
        right=frozenset({"n", terms.difference, "p (Holm)"}),
        notes=tuple(_ladder_notes(comparisons, rungs, is_testable=is_testable, versions=versions or {})),
    )


def _ladder_notes(
    comparisons: Sequence[RungComparison], rungs: Sequence[RungRuns], *, is_testable: bool, versions: Mapping[str, str]
) -> list[str]:
    terms = terms_of(comparisons)
    images = sorted({rung.images for rung in comparisons if rung.images is not None})
    on = f" on {' or '.join(f'{count:,}' for count in images)} images" if images else ""
    seeds = sorted({run.seed for rung in rungs for run in rung.measured})
    notes = [
        f"{terms.value.capitalize()} after the last epoch{on}, mean ± sample standard deviation over n seeds"
        + (f" ({list_seeds(seeds)})." if seeds else ".")
    ]
    notes.append(
        f"Bold: the best of the same budget, and all that do not differ significantly from it (two-sided Welch's "
        f"t-test at the {_LEVEL} level, Holm's correction)."
        if is_testable
        else _NOTHING_BOLD
    )
    tests = sorted({rung.test for rung in comparisons if rung.test})
    if tests:
        count = sum(rung.p_holm is not None for rung in comparisons)
        notes.append(
            f"Differences to {terms.compared_with}: {' or '.join(tests)}, two-sided, Holm's correction for "
            f"{plural(count, 'comparison')}; the interval has the corrected level."
        )
        if any(test.startswith("moderated") for test in tests):
            notes.append(
                "Variances are moderated by those of the other comparisons (Smyth 2004), with "
                f"{MIN_MODERATED_COMPARISONS} comparisons or more."
            )
    if any(rung.finding is Finding.NOT_COMPARED and rung.by_seed for rung in comparisons):
        notes.append("Differences without a test are listed for each common seed.")
    if cut := sorted({rung.reduced for rung in comparisons if rung.reduced is not None}):
        notes.append(f"Reduced budget: {'; '.join(cut)}. These are not results of the full {terms.kind}.")
    return [*notes, *_versions(versions)]


def judge_table(
    judgement: Judgement,
    *,
    names: tuple[str, str],
    measure: Measure,
    images: str,
    level: float,
    number: int,
    versions: Mapping[str, str] | None = None,
) -> PaperTable:
    """Return the two configurations of a question.

    Args:
        judgement: The answer.
        names: Of the two.
        measure: What was compared.
        images: What it was measured on; empty for a custom training.
        level: Probability of a wrong answer.
        number: Of the question in its runs folder.
        versions: As in `board_table`.
    """
    means = judgement.mean_first, judgement.mean_second
    deviations = judgement.deviation_first, judgement.deviation_second
    is_best = {Answer.BETTER: (True, False), Answer.WORSE: (False, True)}.get(judgement.answer, (True, True))
    difference = "" if judgement.difference is None else measure.signed(judgement.difference)
    if judgement.low is not None and judgement.high is not None:
        difference += f" ({measure.signed(judgement.low)} to {measure.signed(judgement.high)})"
    unit = "points" if measure.is_share else measure.unit
    columns: dict[str, list[Cell]] = {
        "configuration": list(names),
        _heading(measure.name): [
            Measured(
                mean="" if mean is None else metric_cell(measure.name, mean),
                deviation="" if deviation is None else metric_cell(measure.name, deviation),
                is_best=best and judgement.seeds > 1,
            )
            for mean, deviation, best in zip(means, deviations, is_best, strict=True)
        ],
        "n": [str(judgement.seeds)] * 2,
        f"difference, {unit}": [difference, ""],
    }
    on = f" on {images}" if images else ""
    notes = [
        f"{_TITLES.get(measure.name, measure.name).capitalize()} after the last epoch{on}, mean ± sample standard "
        f"deviation over n seeds, the same for both.",
        "Bold: the better one, or both if no test distinguishes them. Paired differences with an interval that holds "
        f"at any time (a mixture t-test, Wang and Ramdas 2025), at level {level:.2g}: question {number} of its "
        "family, corrected by e-LOND (Xu and Ramdas 2024).",
    ]
    return PaperTable(
        name=f"judge-{number}",
        caption=f"{names[0]} and {names[1]}: {judgement.answer.value}",
        columns=columns,
        right=frozenset({"n", f"difference, {unit}"}),
        notes=(*notes, *_versions(versions or {})),
    )


_TITLES = {
    "val_accuracy": "validation accuracy",
    "test_accuracy": "test accuracy",
    "search_accuracy": "accuracy in the search",
}


def _heading(metric: str) -> str:
    return f"{_TITLES.get(metric, metric)} (%)" if is_accuracy(metric) else _TITLES.get(metric, metric)


def _metric(row: Row) -> str:
    if row["metric"] is not None:
        return str(row["metric"])
    return "val_accuracy" if row["val_accuracy"] is not None else "test_accuracy"


def _measured(row: Row, metric: str, *, is_best: bool) -> Measured:
    value, deviation = row["metric_value"], row["metric_std"]
    if row["confirm_value"] is not None:
        value = row["confirm_value"]
    elif metric in ("val_accuracy", "test_accuracy"):
        value, deviation = row[metric], row["val_std"] if metric == "val_accuracy" else None
    return Measured(
        mean="" if value is None else metric_cell(metric, value),
        deviation="" if deviation is None else metric_cell(metric, deviation),
        is_best=is_best,
    )


def _measured_rung(rung: RungComparison, *, is_best: bool) -> Measured:
    deviation = statistics.stdev(rung.values) if len(rung.values) > 1 else None
    return Measured(
        mean="" if rung.value is None else metric_cell(rung.metric, rung.value),
        deviation="" if deviation is None else metric_cell(rung.metric, deviation),
        is_best=is_best,
    )


def _with_interval(rung: RungComparison) -> str:
    interval = difference_interval(rung)
    return f"{difference_text(rung)} ({interval})" if interval else difference_text(rung)


def list_seeds(seeds: Iterable[int]) -> str:
    """Return `0`, `1, 4` or `0 to 4`."""
    unique = sorted(set(seeds))
    if len(unique) > 2 and unique[-1] - unique[0] == len(unique) - 1:
        return f"{unique[0]} to {unique[-1]}"
    return ", ".join(map(str, unique))


def versions_of(reader: RecordReader, row: Row) -> dict[str, str]:
    """Return the programs that a run used, with their versions, and its commit."""
    recorded = reader.environment(str(row["run_id"]))
    found = {"cifar-sweeps": version("cifar-sweeps")}
    prefix = "version."
    found |= {name.removeprefix(prefix): number for name, number in recorded.items() if name.startswith(prefix)}
    return found | ({"commit": str(row["git_sha"])} if row["git_sha"] else {})


def _versions(versions: Mapping[str, str]) -> list[str]:
    return [f"{', '.join(f'{name} {version}' for name, version in versions.items())}."] if versions else []
