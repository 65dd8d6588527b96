"""Ranks are of configurations: which may be compared, the mean of each one's seeds, its interval, and their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sweeps.analysis.rungs import RungRuns, budget_of, budgets_of
from sweeps.analysis.statistics import CONFIDENCE, apart_from_first, student_interval, wilson_interval
from sweeps.core.formatting import is_accuracy
from sweeps.core.identity import Protocol, TestProtocol, replicate_group
from sweeps.core.trial import Outcome
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.record.table import Row, Table
from sweeps.search.best import by_value
from sweeps.tasks.registry import IMAGES

_UNRANKED = (
    Outcome.COMPLETE,
    Outcome.RUNNING,
    Outcome.INTERRUPTED,
    Outcome.PRUNED,
    Outcome.DIVERGED,
    Outcome.FAILED,
)
"""Order below the ranks: what may still get a rank comes first."""

_AVERAGED = tuple(name for name, column in RECORD_COLUMNS.items() if column.is_averaged)


@dataclass(kw_only=True)
class _Configuration:
    """The runs of one configuration under one evaluation protocol, by their start; all are in before it is asked."""

    runs: list[Row]
    rank: int | None = None
    p_holm: float | None = None
    """Of the test against the first of its protocol; None of that one, and where nothing was tested."""

    @cached_property
    def complete(self) -> list[Row]:
        """Its runs with a result, one a seed: one that another sweep took over is no second one."""
        trained_first = sorted(self.runs, key=lambda row: row["reused_from"] is not None)
        counted = {row["key"]: row for row in reversed(trained_first) if _counts(row)}
        return [row for row in self.runs if counted.get(row["key"]) is row]

    @cached_property
    def confirming(self) -> list[Row]:
        """Its replicates with a result. The seed that a search looked at says nothing: it made this one look good."""
        looked_at = {row["seed"] for row in self.runs if row["replicate_of"] is None}
        return [row for row in self.complete if row["replicate_of"] is not None and row["seed"] not in looked_at]

    @cached_property
    def seeds(self) -> list[Row]:
        """The runs that its mean and its rank come from: of those that count the ones that learned, where any did."""
        counting = self.confirming or self.complete
        return [row for row in counting if not row["did_not_learn"]] or counting

    @property
    def did_not_learn(self) -> int:
        """Its complete runs that cannot be told from chance."""
        return sum(row["did_not_learn"] or 0 for row in self.complete)

    @property
    def is_ranked(self) -> bool:
        """Whether it has a result to compare: one that teaches nothing under some seed is compared with nothing."""
        return bool(self.seeds) and not self.did_not_learn

    @property
    def search_accuracy(self) -> float | None:
        """What the search saw of it, where others confirm it; None where they do not, or it saw no whole run.

        One that the search stopped early is trained to its end with its replicates: the search never saw that.
        """
        searched = [row for row in self.complete if row["replicate_of"] is None]
        return _mean_of(searched, "val_accuracy") if self.confirming else None

    @cached_property
    def shown(self) -> Row:
        """The run that stands for all: the search's own where it is complete, else the one nearest to a result."""
        nearest = min(reversed(self.runs), key=lambda row: _UNRANKED.index(Outcome(row["status"])))
        own = (row for row in self.complete if row["replicate_of"] is None)
        return next(own, next(iter(self.seeds), nearest))

    @cached_property
    def mean(self) -> float:
        return _mean([_measured(row) for row in self.seeds])

    @property
    def can_share(self) -> bool:
        """Whether a test says which others it cannot be told apart from: no search chose it by these runs.

        A single confirming seed tells nothing apart. A rung's single run does, as one network.
        """
        return len(self.confirming) > 1 or self.shown["rung"] is not None

    @property
    def compared_with(self) -> tuple[Protocol | TestProtocol | None, str]:
        """What configurations have in common that rank against each other: images and budget, and a search's metric."""
        return self.shown["protocol"], _metric(self.shown)

    def rank_key(self) -> tuple[float, int]:
        """Return the sort key, the best first: the search's order, with the mean over seeds."""
        return by_value(self.mean, maximize=_is_maximized(self.shown), trial=self.shown["trial"])


def rank_configurations(table: Table) -> Table:
    """Return one row a configuration, in the order of the ranks, from the record's table of one row a run.

    A configuration is ranked by the mean over its seeds of its search's metric (the validation accuracy where none is
    named) in their last epoch, counted from 1 within one evaluation protocol; the protocol with the largest budget
    comes first. Of equal ones the earlier trial stands first, as in `sweeps.search.best`. Only complete runs with a
    finite value count. Configurations without one follow without a rank, and so do those of which a run did not learn
    (`did_not_learn` runs, see `has_learned`); their means are of the runs that did.

    A configuration without validation images, as a tested ladder's rungs are, is ranked by its test accuracy among its
    like: all that train on as many images under one budget stand in a protocol of their own, below the others, whatever
    their epochs, since a rung may change these. That orders them and selects nothing: none of them is a search's best.

    Where a configuration was confirmed, by replicates under seeds that its search did not look at, mean and rank come
    from these alone, and `search_accuracy` is what the search saw. Confirmed configurations stand before all that are
    not. Those that the data cannot tell apart from the best of them share its rank, and so on with the rest: Welch's
    t-test against the best, at the 5 % level by Holm's procedure (`p_holm`). So do rungs of a ladder; of single runs
    the shares of right answers are tested.

    `replicates` is the number of seeds that learned, `val_std` their sample standard deviation; `ci_low` to `ci_high`
    is Student's 95 % interval of the mean, and for a single seed Wilson's 95 % interval of its accuracy on the images
    that it is ranked by. `val_std` is of validation accuracies alone.
    `test_accuracy`, `train_seconds`, `images_per_second` and `best_val_accuracy` are means too; what belongs to one run
    (`trial`, `run_id`, `key`, `started`, and `seed` where there is one) is of the first.
    """
    rows = []
    for configuration in _ordered(table):
        seeds = configuration.seeds
        row = {**configuration.shown, "rank": configuration.rank, "p_holm": configuration.p_holm, "replicate_of": None}
        if seeds:
            row |= _interval(seeds)
            row |= {name: _mean_of(seeds, name) for name in _AVERAGED}
            row["seed"] = row["seed"] if len(configuration.complete) == 1 else None
            row["search_accuracy"] = configuration.search_accuracy
            row["did_not_learn"] = configuration.did_not_learn
            row["confirmed"] = bool(configuration.confirming)
        rows.append(row)
    return replace(table, rows=rows)


def confirming_keys(table: Table, *, top: int) -> list[list[str]]:
    """Return, of each of the best confirmed configurations, the keys of the runs that confirm it, the best first."""
    confirmed = [configuration for configuration in _ordered(table) if configuration.confirming]
    return [[row["key"] for row in configuration.confirming] for configuration in confirmed[:top]]


def rank_runs(table: Table) -> Table:
    """Return one row a run, each with the rank of its configuration, those of one configuration together.

    `replicates` is as in `rank_configurations`; the interval is Wilson's, of the run's own accuracy.
    """
    rows = []
    for configuration in _ordered(table):
        seeds = configuration.seeds
        others = [row for row in configuration.runs if row not in seeds]
        for row in seeds:
            own = _interval([row]) | {"rank": configuration.rank, "replicates": _learned(seeds)}
            rows.append(row | own | {"confirmed": bool(configuration.confirming)})
        # A result that another sweep lists too is the same result; what did not come to its end has none.
        rows += [row | ({"rank": configuration.rank} | _interval([row]) if _counts(row) else {}) for row in others]
    return replace(table, rows=sorted(rows, key=lambda row: row["rank"] is None))


def _ordered(table: Table) -> list[_Configuration]:
    """Return the configurations with their ranks, in the order of a board."""
    groups: dict[tuple[Protocol | TestProtocol | None, str, tuple[str, str]], _Configuration] = {}
    rows = sorted(_rows(table), key=lambda row: (row["started"], row["trial"], row["run_id"]))
    for row in rows:
        group = (row["protocol"], _metric(row), _group_of(row))
        groups.setdefault(group, _Configuration(runs=[])).runs.append(row)

    def rank_key(configuration: _Configuration) -> tuple[Any, ...]:
        row = configuration.shown
        protocol = (_precedence(row["protocol"]), *configuration.compared_with)
        if configuration.seeds:
            unconfirmed, did_not_learn = not configuration.confirming, not configuration.is_ranked
            return did_not_learn, protocol, unconfirmed, *configuration.rank_key(), row["started"], row["key"]
        accuracy = -math.inf if row["val_accuracy"] is None else row["val_accuracy"]
        outcome = _UNRANKED.index(Outcome(row["status"]))
        return 2, outcome, protocol, -(row["epochs"] or 0), -accuracy, row["sweep"], row["trial"]

    ordered = sorted(groups.values(), key=rank_key)
    compared: dict[tuple[Protocol | TestProtocol | None, str], list[_Configuration]] = {}
    for configuration in ordered:
        if configuration.is_ranked:
            ranked = compared.setdefault(configuration.compared_with, [])
            ranked.append(configuration)
            configuration.rank = len(ranked)
    for ranked in compared.values():
        _share_ranks([each for each in ranked if each.can_share])
    # A rank that is shared stands where the first of them stands; what has none stays where it is.
    return sorted(ordered, key=lambda each: (*rank_key(each)[:3], each.rank) if each.is_ranked else rank_key(each)[:1])


def _share_ranks(ranked: Sequence[_Configuration]) -> None:
    """Give those that the data cannot tell apart from the first its rank, and repeat with the others."""
    rest = list(ranked)
    while len(rest) > 1:
        first, *others = rest
        groups = [[_measured(row) for row in each.seeds] for each in rest]
        p_values = apart_from_first(groups, images=_images(first.shown) if is_accuracy(_metric(first.shown)) else None)
        rest = []
        for each, p_value in zip(others, p_values, strict=True):
            if first is ranked[0]:
                each.p_holm = p_value
            if p_value > 1 - CONFIDENCE:
                each.rank = first.rank
            else:
                rest.append(each)


def _precedence(protocol: Protocol | TestProtocol | None) -> tuple[float, ...]:
    """Return what protocols are ordered by; one that the record does not say stands behind those with a budget."""
    return (0, 0) if protocol is None else protocol.precedence


def _rows(table: Table) -> list[Row]:
    """Return the runs, each under the protocol that it is ranked under."""
    # A search by another metric is ranked by that, also where it sets no images aside.
    tested = [
        row
        for row in table.rows
        if row["metric"] is None and row["protocol"] is not None and not row["protocol"].validation_images
    ]
    protocols = {row["run_id"]: found for row, found in zip(tested, _tested_protocols(tested), strict=True)}
    return [row | {"protocol": protocols.get(row["run_id"], row["protocol"])} for row in table.rows]


def _tested_protocols(rows: Sequence[Row]) -> list[TestProtocol]:
    """Return the protocol that each run without validation images is ranked under."""
    kinds = {(row["sweep"], row["rung"], row["reduced"], row["protocol"]): row for row in rows}
    runs = [
        RungRuns(
            name=f"{sweep}/{rung}",
            index=0,
            parent=None,
            change="",
            reduced=reduced,
            budget=budget_of(row),
            runs=(),
        )
        for (sweep, rung, reduced, _), row in kinds.items()
    ]
    first: dict[int, RungRuns] = {}
    found = {}
    for kind, run, number in zip(kinds, runs, budgets_of(runs), strict=True):
        budget = first.setdefault(number, run).budget
        is_shorter = run.reduced is not None and budget is not None and budget.share != 1
        found[kind] = TestProtocol(
            test_images=IMAGES.test_examples,
            train_images=kind[3].train_images,
            is_reduced=run.reduced is not None,
            epochs=(budget.epochs, budget.full_epochs) if budget is not None and is_shorter else (1, 1),
        )
    return [found[row["sweep"], row["rung"], row["reduced"], row["protocol"]] for row in rows]


def _counts(row: Row) -> bool:
    value = _measured(row)
    if row["status"] != Outcome.COMPLETE or value is None:
        return False
    is_share = is_accuracy(_metric(row)) and row["goal"] is None
    return 0 <= value <= 1 if is_share else math.isfinite(value)


def _is_maximized(row: Row) -> bool:
    """Return whether more is better: a search over a function says so, of other metrics the name does."""
    return is_accuracy(_metric(row)) if row["goal"] is None else bool(row["goal"] == "maximize")


def _metric(row: Row) -> str:
    """Return what a run is ranked by: its search's metric, and the test accuracy where it has no validation images."""
    if isinstance(row["protocol"], TestProtocol):
        return "test_accuracy"
    return row["metric"] or "val_accuracy"


def _measured(row: Row) -> Any:
    """Return the value of what a run is ranked by."""
    metric = _metric(row)
    return row[metric] if metric in ("val_accuracy", "test_accuracy") else row["metric_value"]


def _accuracy(row: Row) -> Any:
    """Return the accuracy that a run is shown with."""
    return row["test_accuracy"] if row["val_accuracy"] is None else row["val_accuracy"]


def _group_of(row: Row) -> tuple[str, str]:
    return replicate_group(config_id=row["config_id"], source=row["source"])


def _learned(seeds: Sequence[Row]) -> int:
    """Return of how many seeds it is not known that they did not learn."""
    return sum(not row["did_not_learn"] for row in seeds)


def _interval(seeds: Sequence[Row]) -> Row:
    cells: Row = {"replicates": _learned(seeds)}
    accuracies = [_accuracy(row) for row in seeds]
    if not all(accuracy is not None and 0 <= accuracy <= 1 for accuracy in accuracies):
        return cells
    is_tested = seeds[0]["val_accuracy"] is None
    images = _images(seeds[0])
    if len(seeds) > 1:
        deviation, low, high = student_interval(accuracies)
        # Two seeds that lie apart give an interval that reaches beyond what an accuracy can be.
        return cells | {"val_std": None if is_tested else deviation, "ci_low": max(low, 0.0), "ci_high": min(high, 1.0)}
    if images:
        low, high = wilson_interval(accuracies[0], images=images)
        cells |= {"ci_low": low, "ci_high": high}
    return cells


def _images(row: Row) -> int:
    """Return how many images a run is ranked by; 0 where that is not known."""
    protocol = row["protocol"]
    if row["val_accuracy"] is None:
        return IMAGES.test_examples
    return protocol.validation_images if isinstance(protocol, Protocol) else 0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_of(rows: Sequence[Row], column: str) -> float | None:
    values = [row[column] for row in rows if row[column] is not None]
    return _mean(values) if values else None
