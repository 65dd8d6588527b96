"""Compare searches by the true value of what they hand over, against the epochs trained, on tables of learning curves.

    python benchmarks/replay.py --tables taskset --seeds 20
    python benchmarks/replay.py --tables lcbench-tuning --seeds 20
    python benchmarks/replay.py --tables lcbench-judged --seeds 50        # once, after the choice

Each line: the mean regret over tables and seeds (0: the best configuration of the table, 1: the median one) with a 95 %
interval (bootstrap over the seeds), and the epochs trained as a multiple of one full training.
"""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from replay_tables import COLLECTIONS

from sweeps.simulation.replayed import replay_search
from sweeps.stopping.rule import StoppingRule
from sweeps.stopping.rules import parse_rule

CAPS = (10, 20, 40, 80, 160)
SLOTS = 4
RULES: dict[str, dict[str, object]] = {
    "none": {"type": "none"},
    "asha stop": {"type": "asha", "mode": "stop"},
    "asha pause": {"type": "asha", "mode": "pause"},
    "curve model": {"type": "curve_model"},
    "median": {"type": "median"},
    "hyperband": {"type": "hyperband"},
}
METHODS = ("random", "bayes")


def _regrets(name: str, index: int, method: str, rule: str, cap: int, seeds: int) -> list[tuple[float, float]]:
    """Return regret and full trainings of each seed, for one table of a collection."""
    table = next(itertools.islice(COLLECTIONS[name](), index, None))
    parsed: StoppingRule = parse_rule(RULES[rule])
    found = []
    for seed in range(seeds):
        replay = replay_search(
            table.curves, method=method, rule=parsed, epochs=table.epochs, run_cap=cap, slots=SLOTS, seed=seed
        )
        regret = 1.0 if replay.handed_over is None else table.regret(replay.handed_over.true_value)
        found.append((regret, replay.epochs / table.epochs))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", choices=COLLECTIONS, default="taskset")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--caps", type=int, nargs="+", default=CAPS, help="numbers of trials of a search")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=tuple(RULES))
    options = parser.parse_args()
    count = sum(1 for _ in COLLECTIONS[options.tables]())
    print(f"{options.tables}: {count} tables, {options.seeds} seeds, {SLOTS} slots")
    print(f"{'method':8} {'early stopping':15} {'trials':>6} {'trainings':>9}  regret (95 %)")
    with ProcessPoolExecutor(options.processes) as pool:
        for method, rule, cap in itertools.product(options.methods, options.rules, options.caps):
            jobs = [
                pool.submit(_regrets, options.tables, index, method, rule, cap, options.seeds) for index in range(count)
            ]
            found = np.array([job.result() for job in jobs])  # tables × seeds × 2
            regrets = found[:, :, 0].mean(axis=0)
            draws = np.random.default_rng(0).integers(options.seeds, size=(2_000, options.seeds))
            low, high = np.quantile(regrets[draws].mean(axis=1), (0.025, 0.975))
            trainings = found[:, :, 1].mean()
            print(
                f"{method:8} {rule:15} {cap:6} {trainings:9.2f}  {regrets.mean():.4f} ({low:.4f} to {high:.4f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
