"""Measure what priors cost and bring: the epochs until a search has the same mean regret as one without priors.

    python benchmarks/priors.py --tables taskset --seeds 20

For each table every parameter gets a prior: the values of one configuration, drawn per seed from the worst or from the
best tenth of the table. The regret is 0 for the best configuration of a table and 1 for the median one. Each line,
after a number of trainings: the mean regret over tables and seeds, and the epochs until the mean regret is as low as
without priors, as a multiple of the epochs without priors. Below 1 the prior saves epochs.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray
from replay_tables import Table, lcbench, taskset

from sweeps.files.space import SearchSpace
from sweeps.simulation.curves import Curves
from sweeps.simulation.replayed import replay_search
from sweeps.stopping.rules import parse_rule

TRIALS = (10, 20, 30, 40)
LONGEST = 2
"""Trials of a search with priors, as a multiple of those without."""
PRIORS = ("none", "worst", "best")
CONFIDENCES = ("low", "medium", "high")
RULES: dict[str, dict[str, object]] = {"none": {"type": "none"}, "asha": {"type": "asha", "mode": "pause"}}


def tables(name: str) -> Iterator[Table]:
    """Yield the tables of a collection."""
    return taskset() if name == "taskset" else lcbench(judged=False)


def with_priors(curves: Curves, *, tenth: str, confidence: str, seed: int) -> Curves:
    """Return curves whose space has priors: the values of a configuration of the worst or of the best tenth."""
    every = [curves[index] for index in range(len(curves))]
    values = np.array([curve.true_value for curve in every])
    finite = np.flatnonzero(np.isfinite(values))
    order = finite[np.argsort(values[finite])]
    if curves.maximize:
        order = order[::-1]
    tenths = len(order) // 10
    among = order[:tenths] if tenth == "best" else order[-tenths:]
    point = every[np.random.default_rng(seed).choice(among)].point
    space = curves.space
    parameters = {
        path: type(each).model_validate(
            each.model_dump(exclude_unset=True) | {"prior": space.decode(path, point[path]), "confidence": confidence}
        )
        for path, each in space.parameters.items()
    }
    changed = SearchSpace(parameters=parameters, base=space.base, task=space.task)
    return Curves(every, space=changed, metric=curves.metric, maximize=curves.maximize)


def _regrets(
    name: str, index: int, prior: str, confidence: str, method: str, rule: str, seeds: int, grid: int
) -> NDArray[np.float64]:
    """Return the regret after each full training's worth of epochs, seeds × grid, for one table of a collection."""
    table = next(itertools.islice(tables(name), index, None))
    found = np.ones((seeds, grid))
    for seed in range(seeds):
        curves = table.curves
        if prior != "none":
            curves = with_priors(curves, tenth=prior, confidence=confidence, seed=seed)
        replay = replay_search(
            curves,
            method=method,
            rule=parse_rule(RULES[rule]),
            epochs=table.epochs,
            run_cap=None,
            slots=1,
            seed=seed,
            until=lambda epochs, _: epochs >= grid * table.epochs,
        )
        for incumbent in replay.incumbents:
            at = -(-incumbent.epochs // table.epochs) - 1
            found[seed, at:] = min(table.regret(incumbent.true_value), 1.0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", choices=("taskset", "lcbench"), default="taskset")
    parser.add_argument("--count", type=int, default=6, help="number of tables")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--methods", nargs="+", choices=("bayes", "random"), default=("bayes", "random"))
    parser.add_argument("--rule", choices=RULES, default="none")
    parser.add_argument("--confidences", nargs="+", choices=CONFIDENCES, default=CONFIDENCES)
    options = parser.parse_args()
    grid = LONGEST * max(TRIALS)
    print(f"{options.tables}: {options.count} tables, {options.seeds} seeds, early stopping {options.rule}")
    print(f"{'method':8} {'prior':8} {'confidence':10}", *(f"{count:>16}" for count in TRIALS), "  trainings")
    with ProcessPoolExecutor(options.processes) as pool:
        for method in options.methods:
            without: NDArray[np.float64] | None = None
            for prior, confidence in [("none", ""), *itertools.product(PRIORS[1:], options.confidences)]:
                jobs = [
                    pool.submit(
                        _regrets, options.tables, index, prior, confidence, method, options.rule, options.seeds, grid
                    )
                    for index in range(options.count)
                ]
                mean = np.mean([job.result().mean(axis=0) for job in jobs], axis=0)
                without = mean if without is None else without
                cells = []
                for count in TRIALS:
                    reached = np.flatnonzero(mean <= without[count - 1])
                    ratio = f"{(reached[0] + 1) / count:.2f}" if len(reached) else f"> {grid / count:.1f}"
                    cells.append(f"{mean[count - 1]:8.3f}, {ratio:>6}")
                print(f"{method:8} {prior:8} {confidence:10}", *cells, flush=True)


if __name__ == "__main__":
    main()
