"""Rank configurations: group the runs, average over seeds, compute intervals, and order within comparable protocols."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sweeps.analysis.known import known_of
from sweeps.analysis.rungs import RungRuns, budget_of, budgets_of
from sweeps.analysis.sequential import pooled_spread, standing
from sweeps.analysis.statistics import CONFIDENCE, Spread, interval_of_mean, p_values_against_first, wilson_interval
from sweeps.core.formatting import is_accuracy
from sweeps.core.front import front
from sweeps.core.identity import Protocol, TestProtocol, replicate_group
from sweeps.core.trial import Outcome
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.record.mapping import CONFIRM_EXAMPLES, CONFIRM_PART, CONFIRM_UNTIL
from sweeps.record.table import Row, Table
from sweeps.search.best import by_value

_UNRANKED = (
    Outcome.COMPLETE,
    Outcome.RUNNING,
    Outcome.PAUSED,
    Outcome.INTERRUPTED,
    Outcome.PRUNED,
    Outcome.DIVERGED,
    Outcome.FAILED,
)
"""Order of the unranked rows: those that may still get a rank come first."""

_AVERAGED = tuple(name for name, column in RECORD_COLUMNS.items() if column.is_averaged)


@dataclass(kw_only=True)
class _Configuration:
    """The runs of one configuration under one evaluation protocol, by start time.

    Properties are cached: add all runs before using them.
    """

    runs: list[Row]
    rank: int | None = None
    front: bool | None = None
    """Whether it is on the front of its search; None for a search with one objective, and without a rank."""
    p_holm: float | None = None
    """Adjusted p-value of the test against the first of its protocol; None for the first and without a test."""

    @cached_property
    def complete(self) -> list[Row]:
        """Runs with a result, without duplicates: a run that another sweep reuses counts once."""
        trained_first = sorted(self.runs, key=lambda row: row["reused_from"] is not None)
        counted = {row["key"]: row for row in reversed(trained_first) if _is_counted(row)}
        return [row for row in self.runs if counted.get(row["key"]) is row]

    @cached_property
    def confirming(self) -> list[Row]:
        """Replicates with a result, without seeds of the search: these are biased by the selection."""
        search_seeds = {row["seed"] for row in self.runs if row["replicate_of"] is None}
        new = [row for row in self.complete if row["replicate_of"] is not None and row["seed"] not in search_seeds]
        # Those on a confirmation part count alone, and of several parts the last one.
        part = next((row[CONFIRM_PART] for row in reversed(new) if row["confirm_value"] is not None), None)
        fresh = [row for row in new if row["confirm_value"] is not None and row[CONFIRM_PART] == part]
        return fresh or new

    @property
    def is_fresh(self) -> bool:
        """Whether its mean is over results on a confirmation part."""
        return bool(self.confirming) and self.confirming[0]["confirm_value"] is not None

    @property
    def raced_until(self) -> float | None:
        """Probability at which the race of its replicates ends; None without a race."""
        return max((row[CONFIRM_UNTIL] for row in self.confirming if row[CONFIRM_UNTIL] is not None), default=None)

    def value(self, row: Row) -> float:
        """Return the value of one of its `seeds` that it is ranked by."""
        return float(row["confirm_value"] if self.is_fresh else _ranking_value(row))

    def accuracy(self, row: Row) -> Any:
        """Return the accuracy of one of its `seeds` that its interval is of."""
        return row["confirm_accuracy"] if self.is_fresh else _accuracy(row)

    @cached_property
    def seeds(self) -> list[Row]:
        """The runs that determine mean and rank: those above chance, or all that count if none is."""
        counted = self.confirming or self.complete
        return [row for row in counted if not row["did_not_learn"]] or counted

    @property
    def did_not_learn(self) -> int:
        """Number of complete runs that are not above chance."""
        return sum(row["did_not_learn"] or 0 for row in self.complete)

    @property
    def is_ranked(self) -> bool:
        """Whether it has a result, no seed failed to learn or to end, and none violates a condition of its search."""
        if not self.seeds or self.did_not_learn or any(row["violated"] for row in self.complete):
            return False
        # The mean over the runs of a race that did not fail would be too good.
        lost = (Outcome.DIVERGED, Outcome.FAILED)
        return not any(row[CONFIRM_UNTIL] is not None and row["status"] in lost for row in self.runs)

    @property
    def search_accuracy(self) -> float | None:
        """Accuracy in the search of a confirmed configuration; None if not confirmed or not complete in the search.

        A trial that was pruned in the search is trained to full length with its replicates. That run is not part of
        the search.
        """
        return self._in_search("val_accuracy")

    @property
    def search_value(self) -> float | None:
        """Metric of the search in it, as `search_accuracy`."""
        return self._in_search("metric_value")

    def _in_search(self, column: str) -> float | None:
        searched = [row for row in self.complete if row["replicate_of"] is None]
        return _mean_of(searched, column) if self.confirming else None

    @cached_property
    def shown(self) -> Row:
        """The representative run: the one of the search if complete, else the one closest to a result."""
        closest = min(reversed(self.runs), key=lambda row: _UNRANKED.index(Outcome(row["status"])))
        searched = (row for row in self.complete if row["replicate_of"] is None)
        return next(searched, next(iter(self.seeds), closest))

    @cached_property
    def mean(self) -> float:
        return _mean([self.value(row) for row in self.seeds])

    @property
    def level(self) -> int:
        """Order of configurations by what their means are of: new examples, new seeds, or the search."""
        return 0 if self.is_fresh else 1 if self.confirming else 2

    @property
    def can_share_rank(self) -> bool:
        """Whether it can be tested against others, because its runs did not lead to its selection.

        That needs two or more confirming seeds, or a rung. A single run of a rung is tested as one network, if it is
        ranked by an accuracy.
        """
        if self.shown["rung"] is None:
            return len(self.confirming) > 1
        return len(self.seeds) > 1 or is_accuracy(_metric(self.shown))

    @property
    def compared_with(self) -> tuple[Protocol | TestProtocol | None, str]:
        """Equal for configurations that are ranked against each other: evaluation protocol and metric."""
        return self.shown["protocol"], _metric(self.shown)

    def rank_key(self) -> tuple[float, int]:
        """Return the sort key, the best first: the order of the search, applied to the mean over seeds."""
        return by_value(self.mean, maximize=is_maximized(self.shown), trial=self.shown["trial"])


def rank_configurations(table: Table) -> Table:
    """Return one row per configuration by rank, from a table with one row per run.

    The rank is by the mean over the seeds of the search's metric after the last epoch (validation accuracy by default).
    Ranks start at 1 in each evaluation protocol; the protocol with the largest budget comes first. Ties are resolved by
    the earlier trial, as in `sweeps.search.best`. Only complete runs with a finite value count. Configurations without
    such a run follow without a rank, as do those with runs that did not learn (`did_not_learn` counts them, see
    `has_learned`); the means of the latter are over the runs that learned. Those that violate a measured condition of
    their search (`violated`) have no rank either.

    A configuration without validation images, such as a rung of a ladder that is measured on the test set, is ranked by
    its test accuracy. Those with the same number of training images and the same budget form one protocol, below the
    others. Their epochs may differ, because a rung may change them. This is an order, not a selection: none of them is
    the best of a search.

    A configuration is confirmed if it has replicates under seeds that its search did not use. Its mean and rank then
    come from these alone, and `search_accuracy` is the accuracy in the search. Where the replicates were measured on a
    confirmation part, mean and rank come from it (`confirm_value`). Confirmed configurations come before the others.
    Those that do not differ significantly from the best share its rank, and so on with the rest: Welch's t-test against
    the best at the 5 % level with Holm's procedure (`p_holm`). The same holds for rungs; single runs are compared by a
    test of two proportions. After a race (`confirm`) the test is the one that ended it
    (`sweeps.analysis.sequential.standing`).

    `replicates` is the number of seeds that learned, `val_std` the sample standard deviation of their validation
    accuracies, `metric_std` that of the metric of their search. `ci_low` and `ci_high` are Student's 95 % interval of
    the mean, from the variance over seeds pooled over all configurations of the same sweep, or Wilson's 95 % interval
    for a single seed that is no replicate. Fewer than three seeds alone have no interval. `test_accuracy`,
    `train_seconds`, `images_per_second` and `best_val_accuracy` are means. Values of a single run (`trial`, `run_id`,
    `key`, `started`, and `seed` if there is one seed) are those of the representative run.
    """
    rows = []
    ordered = _ordered(table)
    spreads = _spreads(ordered)
    for configuration in ordered:
        seeds = configuration.seeds
        row = {**configuration.shown, "rank": configuration.rank, "p_holm": configuration.p_holm, "replicate_of": None}
        row["front"] = configuration.front
        row |= {name: _joined(configuration.runs, name) for name in ("tags", "note")}
        if seeds:
            row |= _interval_of_mean(configuration, spreads.get(_pool_of(configuration)))
            row |= {name: _mean_of(seeds, name) for name in _AVERAGED}
            row["seed"] = row["seed"] if len(configuration.complete) == 1 else None
            row["search_accuracy"] = configuration.search_accuracy
            row["search_value"] = configuration.search_value
            ranked_by = "confirm_value" if configuration.is_fresh else "metric_value"
            row["metric_std"] = _deviation([each[ranked_by] for each in seeds])
            row["did_not_learn"] = configuration.did_not_learn
            row["confirmed"] = bool(configuration.confirming)
            of_replicates = configuration.confirming[-1:]
            row |= {name: each[name] for each in of_replicates for name in (CONFIRM_PART, CONFIRM_EXAMPLES)}
            row[CONFIRM_UNTIL] = configuration.raced_until
        rows.append(row)
    return replace(table, rows=rows)


def confirming_keys(table: Table, *, top: int) -> list[list[str]]:
    """Return the keys of the confirming runs of each of the best confirmed configurations, the best first."""
    confirmed = [configuration for configuration in _ordered(table) if configuration.confirming]
    return [[row["key"] for row in configuration.confirming] for configuration in confirmed[:top]]


def rank_runs(table: Table) -> Table:
    """Return one row per run with the rank of its configuration, grouped by configuration.

    `replicates` is as in `rank_configurations`; the interval is Wilson's interval of the accuracy of the run.
    """
    rows = []
    for configuration in _ordered(table):
        seeds = configuration.seeds
        others = [row for row in configuration.runs if row not in seeds]
        for row in seeds:
            ranked = _interval(row) | {"rank": configuration.rank, "replicates": _count_learned(seeds)}
            ranked["front"] = configuration.front
            rows.append(row | ranked | {"confirmed": bool(configuration.confirming)})
        # A result that another sweep reuses has the same rank; an incomplete run has none.
        rows += [row | ({"rank": configuration.rank} | _interval(row) if _is_counted(row) else {}) for row in others]
    return replace(table, rows=sorted(rows, key=lambda row: row["rank"] is None))


def _ordered(table: Table) -> list[_Configuration]:
    """Return the configurations with their ranks, in the order of the leaderboard."""
    groups: dict[tuple[Protocol | TestProtocol | None, str, tuple[str, str]], _Configuration] = {}
    rows = sorted(_with_ranking_protocols(table), key=lambda row: (row["started"], row["trial"], row["run_id"]))
    for row in rows:
        group = (row["protocol"], _metric(row), _group_of(row))
        groups.setdefault(group, _Configuration(runs=[])).runs.append(row)

    def rank_key(configuration: _Configuration) -> tuple[Any, ...]:
        row = configuration.shown
        protocol = (_precedence(row["protocol"]), *configuration.compared_with)
        if configuration.seeds:
            is_unranked = not configuration.is_ranked
            return is_unranked, protocol, configuration.level, *configuration.rank_key(), row["started"], row["key"]
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
        _mark_front(ranked)
        for level in (0, 1, 2):
            _share_ranks([each for each in ranked if each.can_share_rank and each.level == level])
    # Shared ranks move up to the first configuration with this rank; unranked ones keep their position.
    return sorted(ordered, key=lambda each: (*rank_key(each)[:3], each.rank) if each.is_ranked else rank_key(each)[:1])


def _mark_front(ranked: Sequence[_Configuration]) -> None:
    """Mark the configurations on the front of each search with the same objectives."""
    searches: dict[tuple[str, ...], list[tuple[_Configuration, list[float]]]] = {}
    for configuration in ranked:
        known = next(filter(None, map(known_of, configuration.runs)), [])
        mean = -configuration.mean if is_maximized(configuration.shown) else configuration.mean
        objectives = (configuration.shown["sweep"], *(each.name for each in known))
        if known:
            searches.setdefault(objectives, []).append((configuration, [mean, *(each.cost for each in known)]))
    for search in searches.values():
        on_front = set(front([point for _, point in search]))
        for index, (configuration, _) in enumerate(search):
            configuration.front = index in on_front


def _share_ranks(ranked: Sequence[_Configuration]) -> None:
    """Assign the rank of the first to those that do not differ significantly from it, and repeat with the rest."""
    rest = list(ranked)
    alpha = 1 - (_race_of(ranked) or CONFIDENCE)
    while len(rest) > 1:
        first, *others = rest
        p_values = _p_values(rest)
        rest = []
        for each, p_value in zip(others, p_values, strict=True):
            if first is ranked[0]:
                each.p_holm = p_value
            if p_value > alpha:
                each.rank = first.rank
            else:
                rest.append(each)


def _race_of(ranked: Sequence[_Configuration]) -> float | None:
    """Return the probability at which the race of configurations ends; None if they are not of one race."""
    probabilities = [each.raced_until for each in ranked]
    sweeps = {each.shown["sweep"] for each in ranked}
    return None if None in probabilities or len(sweeps) != 1 else max(filter(None, probabilities), default=None)


def _p_values(ranked: Sequence[_Configuration]) -> list[float]:
    """Return the adjusted p-values of the tests of all other configurations against the first."""
    first = ranked[0]
    groups = [[each.value(row) for row in each.seeds] for each in ranked]
    if _race_of(ranked) is not None:
        # A race looks at its results after each seed, which makes the p-values of a t-test too small.
        found = standing(dict(enumerate(groups)), maximize=is_maximized(first.shown))
        evidence = {} if found is None else {name: each.e_value for name, each in found.against.items()}
        return [min(1.0, len(ranked) / 2 / evidence.get(number, 1.0)) for number in range(1, len(ranked))]
    return p_values_against_first(groups, images=_images(first.shown) if is_accuracy(_metric(first.shown)) else None)


def _precedence(protocol: Protocol | TestProtocol | None) -> tuple[float, ...]:
    """Return the sort key of a protocol; an unknown one comes after those with a budget."""
    return (0, 0) if protocol is None else protocol.precedence


def _with_ranking_protocols(table: Table) -> list[Row]:
    """Return the runs with the protocol that they are ranked under."""
    # A search by another metric is ranked by it even without validation images.
    tested = [
        row
        for row in table.rows
        if row["metric"] is None and row["protocol"] is not None and not row["protocol"].validation_images
    ]
    protocols = {row["run_id"]: found for row, found in zip(tested, _tested_protocols(tested), strict=True)}
    return [row | {"protocol": protocols.get(row["run_id"], row["protocol"])} for row in table.rows]


def _tested_protocols(rows: Sequence[Row]) -> list[TestProtocol]:
    """Return the protocols of runs without validation images, in the same order."""
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
            test_images=kind[3].test_images,
            train_images=kind[3].train_images,
            data=kind[3].data,
            is_reduced=run.reduced is not None,
            epochs=(budget.epochs, budget.full_epochs) if budget is not None and is_shorter else (1, 1),
        )
    return [found[row["sweep"], row["rung"], row["reduced"], row["protocol"]] for row in rows]


def _is_counted(row: Row) -> bool:
    value = _ranking_value(row)
    if row["status"] != Outcome.COMPLETE or value is None:
        return False
    is_share = is_accuracy(_metric(row)) and row["goal"] is None
    return 0 <= value <= 1 if is_share else math.isfinite(value)


def is_maximized(row: Row) -> bool:
    """Return whether larger is better: by the goal of the search, or by the name of the metric without one."""
    return is_accuracy(_metric(row)) if row["goal"] is None else bool(row["goal"] == "maximize")


def _metric(row: Row) -> str:
    """Return the metric that a run is ranked by: that of its search, or the test accuracy without validation images."""
    if isinstance(row["protocol"], TestProtocol):
        return "test_accuracy"
    return row["metric"] or "val_accuracy"


def _ranking_value(row: Row) -> Any:
    """Return the value that a run is ranked by."""
    metric = _metric(row)
    return row[metric] if metric in ("val_accuracy", "test_accuracy") else row["metric_value"]


def _accuracy(row: Row) -> Any:
    """Return the accuracy that a run is shown with."""
    return row["test_accuracy"] if row["val_accuracy"] is None else row["val_accuracy"]


def _group_of(row: Row) -> tuple[str, str]:
    return replicate_group(config_id=row["config_id"], source=row["source"])


def _count_learned(seeds: Sequence[Row]) -> int:
    """Return the number of seeds that are not marked as `did_not_learn`."""
    return sum(not row["did_not_learn"] for row in seeds)


def _interval(row: Row) -> Row:
    """Return the cells of the interval of the accuracy of one run."""
    cells: Row = {"replicates": _count_learned([row])}
    found = _accuracy(row)
    images = _images(row)
    if found is not None and 0 <= found <= 1 and images:
        low, high = wilson_interval(found, images=images)
        cells |= {"ci_low": low, "ci_high": high}
    return cells


_LEAST_DEGREES = 2
"""Degrees of freedom of a variance, below which an interval of it is too wide to be of use."""

_Pool = tuple[Any, ...]
"""Identifies the configurations whose variances over seeds are pooled."""


def _pool_of(configuration: _Configuration) -> _Pool:
    return configuration.shown["sweep"], configuration.compared_with, configuration.level


def _spreads(configurations: Sequence[_Configuration]) -> dict[_Pool, Spread]:
    """Return the variance of the accuracy over seeds, pooled over the configurations of each sweep."""
    groups: dict[_Pool, list[list[float]]] = {}
    for each in configurations:
        accuracies = [each.accuracy(row) for row in each.seeds]
        if all(value is not None and 0 <= value <= 1 for value in accuracies):
            groups.setdefault(_pool_of(each), []).append(accuracies)
    found = {pool: pooled_spread(values) for pool, values in groups.items()}
    return {pool: spread for pool, spread in found.items() if spread and spread.degrees >= _LEAST_DEGREES}


def _interval_of_mean(configuration: _Configuration, spread: Spread | None) -> Row:
    """Return the cells of the interval of a configuration's mean.

    Args:
        configuration: with at least one seed.
        spread: variance over seeds, pooled over its sweep; None if too few seeds are known.
    """
    seeds = configuration.seeds
    if len(seeds) == 1 and not configuration.confirming:
        return _interval(seeds[0])
    cells: Row = {"replicates": _count_learned(seeds)}
    accuracies = [configuration.accuracy(row) for row in seeds]
    if not all(accuracy is not None and 0 <= accuracy <= 1 for accuracy in accuracies):
        return cells
    if seeds[0]["val_accuracy"] is not None:
        cells["val_std"] = _deviation(accuracies)
    if spread is None:
        return cells
    low, high = interval_of_mean(_mean(accuracies), spread, count=len(accuracies))
    # The t interval of few seeds may exceed the range of an accuracy.
    return cells | {"ci_low": max(low, 0.0), "ci_high": min(high, 1.0)}


def _images(row: Row) -> int:
    """Return the number of images that a run is ranked by; 0 if unknown."""
    protocol = row["protocol"]
    if protocol is None:
        return 0
    if row["val_accuracy"] is None:
        return int(protocol.test_images)
    return protocol.validation_images if isinstance(protocol, Protocol) else 0


def _joined(rows: Sequence[Row], column: str) -> str | None:
    """Return the different texts of a column; of several tags in one text, each counts."""
    texts = [row[column] for row in rows if row[column]]
    if column == "tags":
        texts = [tag for text in texts for tag in text.split(", ")]
    return ", ".join(dict.fromkeys(texts)) or None


def _deviation(values: Sequence[float | None]) -> float | None:
    """Return the sample standard deviation; None for fewer than two values, or if one is missing."""
    present = [value for value in values if value is not None]
    return statistics.stdev(present) if len(present) == len(values) > 1 else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_of(rows: Sequence[Row], column: str) -> float | None:
    values = [row[column] for row in rows if row[column] is not None]
    return _mean(values) if values else None
