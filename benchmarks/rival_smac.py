"""SMAC's multi-fidelity search on a table of learning curves. `rivals.py` runs it in SMAC's environment.

SMAC trains a configuration from the start for each of its budgets. Here it continues from its last epoch instead, so
that SMAC is not charged for training twice.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ConfigSpace import Categorical, Configuration, ConfigurationSpace, Float, Integer
from rival_clock import PlainTable, Untried, main_of
from smac import MultiFidelityFacade, Scenario
from smac.runhistory import StatusType, TrialInfo, TrialValue


def _hyperparameter(path: str, axis: Mapping[str, Any]) -> Any:
    if "choices" in axis:
        return Categorical(path, list(range(axis["choices"])))
    kind = Integer if axis["integer"] else Float
    return kind(path, (axis["low"], axis["high"]), log=axis["log"])


class SmacRival:
    """`MultiFidelityFacade`, asked and told. A configuration that it proposes stands for the nearest untried curve."""

    def __init__(self, table: PlainTable, seed: int) -> None:
        self._table, self._untried = table, Untried(table)
        space = ConfigurationSpace(seed=seed)
        space.add([_hyperparameter(path, axis) for path, axis in table.space.items()])
        scenario = Scenario(
            space,
            min_budget=1,
            max_budget=table.epochs,
            n_trials=1_000_000,
            seed=seed,
            deterministic=True,
            output_directory=Path(tempfile.mkdtemp(prefix="smac-")),
        )
        self._smac = MultiFidelityFacade(
            scenario, lambda config, seed, budget: 0.0, overwrite=True, logging_level=False
        )
        self._trial_of: dict[Configuration, int] = {}
        self._curve: list[int] = []
        self._values: dict[int, list[float]] = {}
        self._asked: dict[int, TrialInfo] = {}
        self._ended: dict[int, bool] = {}

    def start(self) -> tuple[int, int] | None:
        while True:
            info = self._smac.ask()
            trial = self._trial_of.get(info.config)
            if trial is None:
                curve = self._untried.take(dict(info.config))
                if curve is None:
                    return None
                trial = self._trial_of[info.config] = len(self._curve)
                self._curve.append(curve)
                self._values[trial] = []
            self._asked[trial] = info
            if trial in self._ended or len(self._values[trial]) >= self._budget(trial):
                self._tell(trial)  # no further epoch is needed
                continue
            return trial, self._curve[trial]

    def _budget(self, trial: int) -> int:
        return max(1, round(self._asked[trial].budget))

    def _tell(self, trial: int) -> None:
        cost = self._values[trial][min(self._budget(trial), len(self._values[trial])) - 1]
        diverged = self._ended.get(trial) is False
        status = StatusType.CRASHED if diverged else StatusType.SUCCESS
        self._smac.tell(self._asked.pop(trial), TrialValue(cost=cost, time=1.0, status=status), save=False)

    def report(self, trial: int, epoch: int, value: float) -> bool:
        self._values[trial].append(-value if self._table.maximize else value)
        if epoch < self._budget(trial):
            return True
        if epoch < self._table.length(self._curve[trial]):
            self._tell(trial)
        return False

    def end(self, trial: int, value: float, *, complete: bool) -> None:
        self._ended[trial] = complete
        self._tell(trial)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main_of({"Hyperband": SmacRival})
