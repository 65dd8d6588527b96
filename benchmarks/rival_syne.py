"""Syne Tune's ASHA, ASHACQR and BOHB on a table of learning curves. `rivals.py` runs it in Syne Tune's environment."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rival_clock import PlainTable, Untried, main_of
from syne_tune import config_space
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer import baselines
from syne_tune.optimizer.scheduler import SchedulerDecision


def _domain(axis: Mapping[str, Any]) -> Any:
    if "choices" in axis:
        return config_space.choice(list(range(axis["choices"])))
    if axis["integer"]:
        return (config_space.lograndint if axis["log"] else config_space.randint)(axis["low"], axis["high"])
    return (config_space.loguniform if axis["log"] else config_space.uniform)(axis["low"], axis["high"])


class SyneRival:
    """A scheduler of Syne Tune, called as its tuner calls it. The searcher receives the recorded configuration."""

    def __init__(self, table: PlainTable, seed: int, *, scheduler: str) -> None:
        self._table, self._untried = table, Untried(table)
        self._scheduler = getattr(baselines, scheduler)(
            {path: _domain(axis) for path, axis in table.space.items()},
            metric="value",
            time_attr="epoch",
            max_t=table.epochs,
            do_minimize=not table.maximize,
            random_seed=seed,
        )
        self._scheduler.time_attr = "epoch"  # BOHB does not hand it on
        self._trials: list[Trial] = []
        self._ended: set[int] = set()

    def start(self) -> tuple[int, int] | None:
        suggestion = self._scheduler.suggest()
        curve = None if suggestion is None else self._untried.take(suggestion.config)
        if curve is None:
            return None
        trial = Trial(trial_id=len(self._trials), config=self._table.point(curve), creation_time=datetime.now())
        self._trials.append(trial)
        self._scheduler.on_trial_add(trial)
        return trial.trial_id, curve

    def report(self, trial: int, epoch: int, value: float) -> bool:
        decision = self._scheduler.on_trial_result(self._trials[trial], {"value": value, "epoch": epoch})
        if decision == SchedulerDecision.CONTINUE:
            return True
        self._scheduler.on_trial_remove(self._trials[trial])
        self._ended.add(trial)
        return False

    def end(self, trial: int, value: float, *, complete: bool) -> None:
        if trial not in self._ended:
            self._scheduler.on_trial_remove(self._trials[trial])


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main_of({name: functools.partial(SyneRival, scheduler=name) for name in ("ASHA", "ASHACQR", "BOHB")})
