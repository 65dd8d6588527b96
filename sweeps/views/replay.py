"""Results of replayed searches in a terminal and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from sweeps.core.formatting import (
    duration,
    is_accuracy,
    metric_cell,
    metric_heading,
    metric_text,
    plural,
    print_sentence,
)
from sweeps.simulation.curves import Curves
from sweeps.simulation.replay import Difference, VariantResult

if TYPE_CHECKING:
    from rich.console import Console


def print_replay(sweep: str, curves: Curves, results: Sequence[VariantResult], console: Console) -> None:
    """Print one line per variant: what it found, and at what cost."""
    seeds = len(results[0].replays)
    print_sentence(
        console,
        f"{sweep}: {plural(len(curves), 'recorded configuration')}, {curves.complete} of them trained to the last "
        f"epoch. The best has {metric_text(curves.metric, curves.best)}.",
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("method", "stopping"):
        table.add_column(heading)
    has_front = results[0].hypervolume is not None
    for heading in ("epochs", "time", metric_heading(curves.metric), "best %", *(["front %"] if has_front else [])):
        table.add_column(heading, justify="right")
    table.add_column("minus first" if len(results) > 1 else "", no_wrap=True)
    for result in results:
        table.add_row(
            result.variant.method,
            result.variant.rule.type,
            f"{result.epochs:.0f}",
            duration(result.seconds),
            "" if math.isnan(result.value) else metric_cell(curves.metric, result.value),
            f"{100 * result.found_best:.0f}",
            *([] if result.hypervolume is None else [f"{100 * result.hypervolume:.1f}"]),
            "" if result is results[0] else _difference(curves, result.minus(results[0])),
        )
    console.print(table)
    variant = results[0].variant
    within = "" if variant.budget is None else f" within {duration(variant.budget)}"
    print_sentence(
        console,
        f"Each row: {plural(seeds, 'replay')} of at most {plural(variant.run_cap, 'trial')}{within} in "
        f"{plural(variant.slots, 'slot')}. {metric_heading(curves.metric)}: interquartile mean of the selected "
        "configurations. best %: replays that select the best one. minus first: 95 % interval of the difference to the "
        "first row.",
        style="dim",
    )
    if has_front:
        print_sentence(
            console,
            "front %: hypervolume of the trained configurations, as a share of that of all recorded ones.",
            style="dim",
        )
    if curves.complete < len(curves):
        partial = plural(len(curves) - curves.complete, "recorded curve")
        print_sentence(
            console,
            f"{partial} end before the last epoch: the recorded search stopped these trials. A replay stops them there "
            "too, also without early stopping.",
            style="dim",
        )


def replay_to_json(sweep: str, curves: Curves, results: Sequence[VariantResult]) -> str:
    """Return the results as JSON: per variant its settings, means, and the course under each seed."""
    variants = []
    for result in results:
        difference = None if result is results[0] else result.minus(results[0])
        variants.append(
            {
                "method": result.variant.method,
                "early_terminate": result.variant.rule.model_dump(mode="json"),
                "run_cap": result.variant.run_cap,
                "budget": result.variant.budget,
                "slots": result.variant.slots,
                "trials": result.trials,
                "epochs": result.epochs,
                "seconds": result.seconds,
                "busy": result.busy,
                "value": _finite(result.value),
                "quartiles": [_finite(end) for end in result.quartiles],
                "optimism": _finite(result.optimism),
                "found_best": result.found_best,
                **({} if result.hypervolume is None else {"hypervolume": result.hypervolume}),
                "minus_first": None
                if difference is None
                else {"mean": difference.mean, "low": difference.low, "high": difference.high},
                "replays": [
                    {
                        "seed": replay.seed,
                        "trials": replay.trials,
                        "epochs": replay.epochs,
                        "seconds": replay.seconds,
                        "incumbents": [
                            {
                                "seconds": each.seconds,
                                "epochs": each.epochs,
                                "observed": each.observed,
                                "true_value": each.true_value,
                            }
                            for each in replay.incumbents
                        ],
                    }
                    for replay in result.replays
                ],
            }
        )
    content: dict[str, Any] = {
        "sweep": sweep,
        "metric": curves.metric,
        "maximize": curves.maximize,
        "configurations": len(curves),
        "complete": curves.complete,
        "best": curves.best,
        "variants": variants,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _difference(curves: Curves, found: Difference | None) -> str:
    if found is None:
        return ""
    scale, digits = (100, 1) if is_accuracy(curves.metric) else (1, 3)
    low, high = (f"{scale * end:+.{digits}f}" for end in (found.low, found.high))
    return f"{low} to {high}"
