"""The searches that `rivals.py` compares, by name: this project's, Optuna's, Ray Tune's, and two simple ones.

Each tool proposes, stops and learns with its own classes at their defaults. A proposal that is not in the table takes
the nearest untried configuration, whose values the tool receives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState
from replay_tables import Table
from rival_clock import Course, PlainTable, Rival, Untried, run

from sweeps.core.trial import Outcome
from sweeps.simulation.replayed import replay_search
from sweeps.stopping.rules import parse_rule

SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Shares of the budget after which a search that knows its budget ends."""
Search = Callable[[Table, PlainTable, int, int, int], Course]
"""Returns the course of a search of a table (in both forms) in slots, with a budget in epochs, under a seed."""


def plain(table: Table) -> PlainTable:
    """Return a table as arrays. It has no conditional parameters."""
    curves = [table.curves[index] for index in range(len(table.curves))]
    distributions = table.curves.space.distributions
    observed = np.full((len(curves), table.epochs), np.nan)
    seconds = np.ones_like(observed)
    for row, curve in enumerate(curves):
        for column, epoch in enumerate(curve.epochs):
            observed[row, column] = epoch.metrics[table.curves.metric]
            seconds[row, column] = epoch.seconds
        assert (len(curve.epochs) == table.epochs) == (curve.outcome is Outcome.COMPLETE)
    return PlainTable(
        name=table.name,
        epochs=table.epochs,
        maximize=table.curves.maximize,
        space={path: _axis(each) for path, each in distributions.items()},
        points=np.array(
            [[each.to_internal_repr(curve.point[p]) for p, each in distributions.items()] for curve in curves]
        ),
        observed=observed,
        seconds=seconds,
        true_values=np.array([curve.true_value for curve in curves]),
    )


def _axis(distribution: BaseDistribution) -> dict[str, Any]:
    if isinstance(distribution, CategoricalDistribution):
        return {"choices": len(distribution.choices)}
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    is_integer = isinstance(distribution, IntDistribution)
    return {"low": distribution.low, "high": distribution.high, "log": distribution.log, "integer": is_integer}


def _distributions(table: PlainTable) -> dict[str, BaseDistribution]:
    """Return the space for Optuna. A listed value is its index."""
    found: dict[str, BaseDistribution] = {}
    for path, each in table.space.items():
        if "choices" in each:
            choices: list[CategoricalChoiceType] = list(range(each["choices"]))
            found[path] = CategoricalDistribution(choices)
        elif each["integer"]:
            found[path] = IntDistribution(each["low"], each["high"], log=each["log"])
        else:
            found[path] = FloatDistribution(each["low"], each["high"], log=each["log"])
    return found


def ours(method: str, **rule: object) -> Search:
    """Return a search of this project, by its method and rule of early stopping."""
    parsed = parse_rule(rule)

    def search(table: Table, _: PlainTable, slots: int, budget: int, seed: int) -> Course:
        replay = replay_search(
            table.curves,
            method=method,
            rule=parsed,
            epochs=table.epochs,
            # In full: no trial starts that the budget would cut.
            run_cap=budget // table.epochs if rule["type"] == "none" else None,
            slots=slots,
            seed=seed,
            until=lambda epochs, _: epochs >= budget,
        )
        return [(each.epochs, each.seconds, each.true_value) for each in replay.incumbents]

    return search


def told(method: str, **rule: object) -> Search:
    """Return searches of this project, each of which ends with a complete trial when a share of the budget is spent.

    A rule that pauses trials completes the best one last. The course has one entry for each share.
    """
    parsed = parse_rule(rule)

    def search(table: Table, _: PlainTable, slots: int, budget: int, seed: int) -> Course:
        course = []
        for share in SHARES:
            run_cap = int(share * budget / parsed.expected_epochs(table.epochs))
            if run_cap == 0:
                continue
            replay = replay_search(
                table.curves, method=method, rule=parsed, epochs=table.epochs, run_cap=run_cap, slots=slots, seed=seed
            )
            if replay.handed_over is not None:
                course.append((replay.epochs, replay.seconds, replay.handed_over.true_value))
        return sorted(course)

    return search


def of(rival: Callable[[PlainTable, int], Rival]) -> Search:
    """Return a search of another tool, from what builds it for a table and a seed."""

    def search(_: Table, table: PlainTable, slots: int, budget: int, seed: int) -> Course:
        return run(rival(table, seed), table, slots=slots, budget=budget)

    return search


class OneEpochThenBest:
    """Trains random configurations for one epoch. After each `epochs` of them, trains the best one so far in full."""

    def __init__(self, table: PlainTable, seed: int) -> None:
        self._table, self._untried = table, Untried(table)
        self._draw = np.random.default_rng(seed)
        self._sign = 1.0 if table.maximize else -1.0
        self._curve: list[int] = []
        self._waiting: dict[int, float] = {}
        """First value of each trial that was not continued."""
        self._continued: set[int] = set()

    def start(self) -> tuple[int, int] | None:
        if len(self._curve) >= self._table.epochs * (len(self._continued) + 1) and self._waiting:
            best = max(self._waiting, key=self._waiting.__getitem__)
            del self._waiting[best]
            self._continued.add(best)
            return best, self._curve[best]
        point = {}
        for path, each in self._table.space.items():
            if "choices" in each:
                point[path] = float(self._draw.integers(each["choices"]))
                continue
            ends = np.array([each["low"], each["high"]], dtype=float)
            point[path] = float(np.exp(self._draw.uniform(*np.log(ends))) if each["log"] else self._draw.uniform(*ends))
        curve = self._untried.take(point)
        if curve is None:
            return None
        self._curve.append(curve)
        return len(self._curve) - 1, curve

    def report(self, trial: int, epoch: int, value: float) -> bool:
        if epoch == 1:
            self._waiting[trial] = self._sign * value
        return epoch > 1

    def end(self, trial: int, value: float, *, complete: bool) -> None:
        self._waiting.pop(trial, None)


class OptunaRival:
    """Optuna: a study with its sampler and pruner, asked and told as in `study.optimize`."""

    def __init__(self, table: PlainTable, seed: int, *, pruner: BasePruner) -> None:
        self._table, self._untried = table, Untried(table)
        self._space = _distributions(table)
        # The name decides about the bracket of a trial in Hyperband.
        self._study = optuna.create_study(
            study_name=f"study-{seed}",
            direction="maximize" if table.maximize else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=pruner,
        )
        self._trials: dict[int, optuna.Trial] = {}

    def start(self) -> tuple[int, int] | None:
        trial = self._study.ask(self._space)
        curve = self._untried.take(trial.params)
        if curve is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        if trial.params != (point := self._table.point(curve)):
            self._study.tell(trial, state=TrialState.FAIL)
            self._study.enqueue_trial(point)
            trial = self._study.ask(self._space)
        self._trials[trial.number] = trial
        return trial.number, curve

    def report(self, trial: int, epoch: int, value: float) -> bool:
        self._trials[trial].report(value, epoch)
        if not self._trials[trial].should_prune():
            return True
        self._study.tell(self._trials.pop(trial), state=TrialState.PRUNED)
        return False

    def end(self, trial: int, value: float, *, complete: bool) -> None:
        if found := self._trials.pop(trial, None):  # not pruned at this epoch
            state = TrialState.COMPLETE if complete else TrialState.PRUNED
            self._study.tell(found, value if complete else None, state=state)


class RayRival:
    """Ray Tune: `OptunaSearch` and `AsyncHyperBandScheduler`, called as Tune's controller calls them.

    A trial that diverged returns from its training function, with its last finite result.
    """

    def __init__(self, table: PlainTable, seed: int) -> None:
        from ray.tune.schedulers import AsyncHyperBandScheduler
        from ray.tune.search.optuna import OptunaSearch

        self._table, self._untried = table, Untried(table)
        mode = "max" if table.maximize else "min"
        self._search = OptunaSearch(space=_distributions(table), metric="value", mode=mode, seed=seed)
        self._scheduler = AsyncHyperBandScheduler(metric="value", mode=mode, max_t=table.epochs)
        self._count = 0

    def start(self) -> tuple[int, int] | None:
        number, self._count = self._count, self._count + 1
        trial = _RayTrial(number)
        curve = self._untried.take(self._search.suggest(trial.trial_id))
        if curve is None:
            return None
        study, trials = self._search._ot_study, self._search._ot_trials
        if trials[trial.trial_id].params != (point := self._table.point(curve)):
            study.tell(trials.pop(trial.trial_id), state=TrialState.FAIL)
            study.enqueue_trial(point)
            self._search.suggest(trial.trial_id)
        self._scheduler.on_trial_add(None, trial)
        return number, curve

    def report(self, trial: int, epoch: int, value: float) -> bool:
        known, result = _RayTrial(trial), {"training_iteration": epoch, "value": value}
        if self._scheduler.on_trial_result(None, known, result) == self._scheduler.STOP:
            self._search.on_trial_complete(known.trial_id, result)
            self._scheduler.on_trial_complete(None, known, result)
            return False
        self._search.on_trial_result(known.trial_id, result)
        return True

    def end(self, trial: int, value: float, *, complete: bool) -> None:
        known = _RayTrial(trial)
        if not complete and known.trial_id not in self._search._completed_trials:
            self._search.on_trial_complete(known.trial_id, {"value": value})


class _RayTrial:
    """What searcher and scheduler read of a trial."""

    def __init__(self, number: int) -> None:
        self.trial_id = str(number)


def _optuna(pruner: Callable[[PlainTable], BasePruner]) -> Search:
    return of(lambda table, seed: OptunaRival(table, seed, pruner=pruner(table)))


FULL_RANDOM = "random, in full"
RAY = "Ray OptunaSearch + ASHA"
METHODS: Mapping[str, Search] = {
    FULL_RANDOM: ours("random", type="none"),
    "one epoch, then the best in full": of(OneEpochThenBest),
    "random, stop": ours("random", type="asha", mode="stop"),
    "random, pause": ours("random", type="asha", mode="pause"),
    "bayes, in full": ours("bayes", type="none"),
    "bayes, stop": ours("bayes", type="asha", mode="stop"),
    "bayes, pause": ours("bayes", type="asha", mode="pause"),
    "random, pause, budget known": told("random", type="asha", mode="pause"),
    "curve model, budget known": told("bayes", type="curve_model"),
    "Optuna TPE": _optuna(lambda table: NopPruner()),
    "Optuna TPE, median": _optuna(lambda table: MedianPruner()),
    "Optuna TPE, Hyperband": _optuna(lambda table: HyperbandPruner(max_resource=table.epochs)),
    "Optuna TPE, halving": _optuna(lambda table: SuccessiveHalvingPruner()),
    RAY: of(RayRival),
}
"""The methods that run in this environment. A new one needs an entry here only."""
FOREIGN: Mapping[str, tuple[str, str]] = {
    "Syne Tune ASHA": ("syne", "ASHA"),
    "Syne Tune ASHACQR": ("syne", "ASHACQR"),
    "Syne Tune BOHB": ("syne", "BOHB"),
    "SMAC Hyperband": ("smac", "Hyperband"),
}
"""Those that run in an environment of their own: its name, and the name in `rival_NAME.py`."""
