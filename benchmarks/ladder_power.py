"""Type I error rate and power of a ladder's comparisons, simulated with paired seeds.

Each rung has its own standard deviation, and each seed shifts all rungs. `none` is the share of ladders without any
true effect in which at least one was detected; Holm's procedure bounds it by 5 %. `half` is the same where every other
step has an effect; `true` is the share of the true effects, of three points, that were detected. The moderated test,
which is used from eight comparisons on, is compared with the paired t-test.

    python benchmarks/ladder_power.py --ladders 1000
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from sweeps.analysis.statistics import Spread, holm_levels, moderated, paired_t_test, spread_of

STEP = 3.0
"""Effect of a true step, in points."""
TYPICAL = 0.8
"""Standard deviation over seeds, in points: about that of the project's small networks."""
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One kind of ladder."""

    steps: int
    spread: str
    """`equal`; `varied`: variances scaled inverse chi-squared of 3 degrees; `wild`: tenfold in a tenth of rungs."""
    from_one: bool
    """Whether the parent of all rungs is the first one, as in an ablation, or the previous one."""


def accuracies(setting: Setting, steps: np.ndarray, *, seeds: int, generator: np.random.Generator) -> np.ndarray:
    """Return accuracies in points, rungs × seeds; `steps` contains the effect of each rung."""
    rungs = setting.steps + 1
    deviation = {
        "equal": np.full(rungs, TYPICAL),
        "varied": TYPICAL * np.sqrt(3 / generator.chisquare(3, rungs)),
        "wild": np.where(generator.random(rungs) < 0.1, 10 * TYPICAL, TYPICAL),
    }[setting.spread]
    shared, separate = generator.normal(size=seeds), generator.normal(size=(rungs, seeds))
    level = np.concatenate([[0.0], steps if setting.from_one else np.cumsum(steps)])
    return level[:, None] + deviation[:, None] * (np.sqrt(0.3) * shared + np.sqrt(0.7) * separate)


def detected(setting: Setting, drawn: np.ndarray, *, is_moderated: bool) -> np.ndarray:
    """Return which steps are significant at the 5 % level."""
    differences = drawn[1:] - (drawn[:1] if setting.from_one else drawn[:-1])
    spreads: list[Spread] = [spread_of(row.tolist()) for row in differences]
    used = moderated(spreads) if is_moderated else spreads
    p_values = [paired_t_test(row.tolist(), spread) for row, spread in zip(differences, used, strict=True)]
    levels = holm_levels(p_values, alpha=ALPHA)
    return np.array([p_value <= level for p_value, level in zip(p_values, levels, strict=True)])


def shares(setting: Setting, *, seeds: int, ladders: int, is_moderated: bool) -> tuple[float, float, float]:
    """Return the shares `none`, `half` and `true` of the module's docstring."""
    generator = np.random.default_rng(0)
    true = np.arange(setting.steps) % 2 == 1
    none = half = found = 0.0
    for _ in range(ladders):
        nothing = accuracies(setting, np.zeros(setting.steps), seeds=seeds, generator=generator)
        none += bool(detected(setting, nothing, is_moderated=is_moderated).any())
        some = accuracies(setting, np.where(true, STEP, 0.0), seeds=seeds, generator=generator)
        significant = detected(setting, some, is_moderated=is_moderated)
        half += bool(significant[~true].any())
        found += float(significant[true].mean())
    return none / ladders, half / ladders, found / ladders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", type=int, default=1000, help="ladders per setting (default: 1000)")
    parser.add_argument("--seeds", type=int, default=3, help="runs per rung (default: 3)")
    arguments = parser.parse_args()
    print("steps spread  from      paired t: none  half  true   moderated: none  half  true")
    for steps in (8, 13, 17):
        for spread in ("equal", "varied", "wild"):
            for from_one in (False, True):
                setting = Setting(steps=steps, spread=spread, from_one=from_one)
                plain, used = (
                    shares(setting, seeds=arguments.seeds, ladders=arguments.ladders, is_moderated=is_moderated)
                    for is_moderated in (False, True)
                )
                where = "first" if from_one else "previous"
                numbers = "            ".join(
                    "  ".join(f"{100 * share:4.1f}" for share in each) for each in (plain, used)
                )
                print(f"{steps:5} {spread:7} {where:9}           {numbers}", flush=True)


if __name__ == "__main__":
    main()
