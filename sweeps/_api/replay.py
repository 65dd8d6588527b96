"""`sweeps.replay`: a recorded search again with other settings, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import SweepError
from sweeps.files.space_check import grid_errors
from sweeps.stopping.rule import StoppingRule
from sweeps.stopping.rules import RULES, parse_rule
from sweeps.views.printed import Printed

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from sweeps.simulation.curves import Curves
    from sweeps.simulation.replay import VariantResult

METHODS = ("bayes", "random", "grid")
RULE_NAMES = ("none", *(name for name in RULES if name != "none"))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Replay(Printed):
    """Replays of one recorded search with several settings."""

    sweep: str
    curves: Curves
    """The recorded curves."""
    results: Sequence[VariantResult]
    """One per variant, in the order of the arguments."""

    @property
    def variants(self) -> pd.DataFrame:
        """One row per variant: settings, and means over the seeds."""
        import pandas as pd

        return pd.DataFrame(
            {
                "method": result.variant.method,
                "early_terminate": result.variant.rule.type,
                "run_cap": result.variant.run_cap,
                "budget": result.variant.budget,
                "slots": result.variant.slots,
                "trials": result.trials,
                "epochs": result.epochs,
                "seconds": result.seconds,
                "busy": result.busy,
                "value": result.value,
                "optimism": result.optimism,
                "found_best": result.found_best,
                "hypervolume": result.hypervolume,
            }
            for result in self.results
        )

    def print_to(self, console: Console) -> None:
        """Print one line per variant."""
        from sweeps.views.replay import print_replay

        print_replay(self.sweep, self.curves, self.results, console)

    def to_json(self) -> str:
        """Return the variants with the course of each replay as JSON."""
        from sweeps.views.replay import replay_to_json

        return replay_to_json(self.sweep, self.curves, self.results)


def replay(
    sweep: str,
    *,
    methods: Sequence[str] = ("bayes",),
    early: Sequence[str | Mapping[str, Any] | StoppingRule] = RULE_NAMES,
    run_cap: int | None = None,
    budget: float | None = None,
    slots: int = 2,
    seeds: int = 20,
    runs: str | Path = DEFAULT_RUNS,
    on_replay: Callable[[], None] = lambda: None,
) -> Replay:
    """Return what a recorded search would have found with other settings. Nothing is trained.

    A replay searches among the recorded configurations on a simulated clock, with the sampler, the ledger and the early
    stopping of a real search. Each method is combined with each rule.

    Args:
        sweep: Name of a recorded search.
        methods: Samplers: `bayes`, `random`, `grid`.
        early: Rules of early stopping: a name, or a block as in a sweep file.
        run_cap: Number of trials; all recorded configurations if None.
        budget: Simulated seconds of each search, at whose end the best configuration is complete; no limit if None.
        slots: Number of trials that train at once.
        seeds: Number of replays of each combination, with the seeds 0, 1, 2, …
        runs: The runs folder.
        on_replay: Called after each replay.

    Raises:
        NoSuchSweepError: There is no sweep of this name.
        DamagedJournalError: Its journal cannot be read.
        SweepError: It is a ladder, has fewer than two complete trials, or its space cannot be replayed by a grid.
        ValueError: A method or a rule is unknown.

    Example:
        >>> sweeps.replay("quick", early=["none", "asha"], slots=8).variants
    """
    from sweeps.simulation.recorded import recorded_curves
    from sweeps.simulation.replay import Variant, replay_variants

    if unknown := [method for method in methods if method not in METHODS]:
        raise ValueError(f"unknown method {unknown[0]!r}: one of {', '.join(METHODS)}")
    rules = [parse_rule({"type": each} if isinstance(each, str) else each) for each in early]
    curves = recorded_curves(Path(runs), sweep)
    if "grid" in methods and (errors := grid_errors(curves.space)):
        raise SweepError(f"{sweep!r} cannot be replayed by a grid: {'; '.join(errors)}")
    cap = len(curves) if run_cap is None else min(run_cap, len(curves))
    variants = [
        Variant(method=method, rule=rule, run_cap=cap, slots=slots, budget=budget)
        for method in methods
        for rule in rules
    ]
    results = replay_variants(curves, variants, seeds=seeds, on_replay=on_replay)
    return Replay(sweep=sweep, curves=curves, results=results)
