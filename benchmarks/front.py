"""What the two parts of a search for a front bring: `python benchmarks/front.py`, about two minutes on one core.

150 random configurations of a function with a known shape are recorded. Replays search among them with TPE, with and
without limits on the known objective (`sweeps.search.staircase`), and with and without the rule that early stopping
ends no trial on the front (`sweeps.search.front.leads`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

FUNCTION = """
def train(trial, *, x=0.5, width=4, epochs=6, seed=0):
    for epoch in range(1, epochs + 1):
        yield {"score": (1 - (x - 0.3) ** 2) * (1 - 1 / (1 + width)) * (1 - 0.5**epoch)}
"""
SWEEP = {
    "name": "front",
    "train": "front_function:train",
    "method": "random",
    "run_cap": 150,
    "metrics": [{"name": "score"}, {"name": "width", "goal": "minimize"}],
    "base": {"epochs": 6},
    "parameters": {"x": {"min": 0.0, "max": 1.0}, "width": {"min": 1, "max": 64}},
}
SEEDS, TRIALS = 20, 40


def measured(folder: Path) -> Iterator[str]:
    """Yield a line of a table for each variant."""
    import sweeps
    from sweeps.files.sweep import SweepSpec
    from sweeps.search import ledger
    from sweeps.search.staircase import Staircase
    from sweeps.simulation.recorded import recorded_curves
    from sweeps.simulation.replay import Variant, replay_variants
    from sweeps.stopping.rules import parse_rule

    (folder / "front_function.py").write_text(FUNCTION, encoding="utf-8")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sweeps.run(SweepSpec.model_validate(SWEEP), runs=folder / "runs", backend="inline")
    curves = recorded_curves(folder / "runs", "front")
    variants = [
        Variant(method="bayes", rule=parse_rule({"type": early}), run_cap=TRIALS, slots=2) for early in ("none", "asha")
    ]
    for limits, guard in ((True, True), (True, False), (False, True), (False, False)):
        with contextlib.ExitStack() as off:
            if not limits:
                off.enter_context(mock.patch.object(Staircase, "__bool__", return_value=False))
            if not guard:
                off.enter_context(mock.patch.object(ledger, "leads", return_value=False))
            results = replay_variants(curves, variants, seeds=SEEDS)
        parts = " and ".join(name for name, on in (("limits", limits), ("the front continues", guard)) if on)
        for result in results:
            share = 100 * (result.hypervolume or 0.0)
            yield f"| {parts or 'neither'}, {result.variant.rule.type} | {result.epochs:.0f} | {share:.1f} |"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        for line in measured(Path(made)):
            print(line, flush=True)
