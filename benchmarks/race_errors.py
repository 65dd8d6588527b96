"""Errors of a race of configurations (`confirm` in a sweep file), simulated.

    python benchmarks/race_errors.py --races 1000

Each row is a set of configurations, whose values over seeds have the standard deviation 1. A race looks at its results
after each seed. `declared` is the share of the races that declared a best configuration, `wrong` the share that
declared one which is not better than every other one: the type I error. `seeds` is the mean number of seeds of all
configurations together, and `time` the mean duration. `race` is the method of this project; `uniform` has its test, but
trains equally many seeds of each; `t-test` looks after each seed at a t-test at the 5 % level that is not corrected.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.analysis.sequential import MIN_SEEDS, next_to_train, pooled_spread, standing

ALPHA = 0.05
Values = Mapping[int, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A set of configurations."""

    means: tuple[float, ...]
    slots: int = 1
    seconds: tuple[float, ...] = ()
    """Duration of a seed of each; 1 if empty."""
    most: int = 20
    """Seeds per configuration, times its number of configurations: the end of a race."""

    @property
    def text(self) -> str:
        means = " ".join(f"{mean:g}" for mean in self.means)
        slots = "" if self.slots == 1 else f", {self.slots} slots"
        return f"{means}{slots}" + (
            f", durations {' '.join(f'{each:g}' for each in self.seconds)}" * bool(self.seconds)
        )


EQUAL = (
    *(Setting(means=(0.0,) * count) for count in (2, 3, 5)),
    *(Setting(means=(0.0,) * count, slots=2) for count in (2, 3, 5)),
    Setting(means=(0.0, 0.0, 0.0), slots=2, seconds=(1.0, 3.0, 0.5)),
    Setting(means=(0.0, 0.0, -2.0), slots=2),
)
UNEQUAL = (
    *(Setting(means=(0.0, -gap)) for gap in (1.0, 2.0, 3.0)),
    *(Setting(means=(0.0, -gap, -2 * gap)) for gap in (1.0, 2.0, 3.0)),
    Setting(means=(0.0, -2.0, -2.0, -4.0, -6.0), slots=2),
    Setting(means=(0.0, -2.0, -4.0), slots=2, seconds=(1.0, 3.0, 0.5)),
)


def by_race(values: Values) -> int | None:
    """Return the configuration that the anytime-valid test declares the best; None if it declares none."""
    found = standing(values, alpha=ALPHA)
    return found.best if found is not None and found.is_decided else None


def by_t_test(values: Values) -> int | None:
    """Return the configuration that a t-test with the pooled variance declares better than each other one."""
    from scipy.special import stdtr

    spread = pooled_spread(list(values.values()))
    if spread is None or min(map(len, values.values())) < MIN_SEEDS:
        return None
    means = {name: statistics.fmean(each) for name, each in values.items()}
    best = max(means, key=lambda name: means[name])
    for name in values.keys() - {best}:
        error = (spread.variance * (1 / len(values[best]) + 1 / len(values[name]))) ** 0.5
        if 2 * float(stdtr(spread.degrees, -(means[best] - means[name]) / error)) > ALPHA:
            return None
    return best


def evenly(values: Values, running: Mapping[int, int], seconds: Mapping[int, float]) -> int:
    """Return the configuration with the fewest seeds."""
    return min(values, key=lambda name: len(values[name]) + running[name])


def best_per_second(values: Values, running: Mapping[int, int], seconds: Mapping[int, float]) -> int:
    """Return the configuration that the race trains next."""
    return next_to_train(values, running=running, seconds=seconds)


METHODS: Mapping[str, tuple[Callable[[Values], int | None], Callable[..., int]]] = {
    "race": (by_race, best_per_second),
    "uniform": (by_race, evenly),
    "t-test": (by_t_test, evenly),
}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A race at its end."""

    declared: int | None
    seeds: int
    seconds: float


def run_race(setting: Setting, method: str, generator: np.random.Generator) -> Ended:
    """Simulate a race on several slots, as the driver carries it out: what runs when it is decided ends first."""
    decide, choose = METHODS[method]
    names = range(len(setting.means))
    seconds = dict(zip(names, setting.seconds or (1.0,) * len(names), strict=True))
    values: dict[int, list[float]] = {name: [] for name in names}
    running = dict.fromkeys(names, 0)
    ends: list[tuple[float, int]] = []
    now, begun, most = 0.0, 0, setting.most * len(names)
    while True:
        declared = decide(values)
        while declared is None and begun < most and len(ends) < setting.slots:
            name = choose(values, running, seconds)
            heapq.heappush(ends, (now + seconds[name], name))
            running[name] += 1
            begun += 1
        if not ends:
            return Ended(declared=declared, seeds=begun, seconds=now)
        now, name = heapq.heappop(ends)
        running[name] -= 1
        values[name].append(float(generator.normal(setting.means[name])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=1000, help="races per row")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| means | method | declared | wrong | seeds | time |\n|---|---|---|---|---|---|")
    for setting in (*EQUAL, *UNEQUAL):
        top = max(setting.means)
        is_alone = setting.means.count(top) == 1
        for method in METHODS:
            generator = np.random.default_rng(args.seed)
            ended = [run_race(setting, method, generator) for _ in range(args.races)]
            declared = [each.declared for each in ended if each.declared is not None]
            wrong = sum(not (is_alone and setting.means[each] == top) for each in declared)
            print(
                f"| {setting.text} | {method} | {len(declared) / args.races:.1%} | {wrong / args.races:.1%} | "
                f"{statistics.fmean(each.seeds for each in ended):.1f} | "
                f"{statistics.fmean(each.seconds for each in ended):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
