"""What a number of seeds can distinguish, from the spread over seeds that was measured so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sweeps.analysis.sequential import detectable_difference, pooled_spread
from sweeps.analysis.statistics import Spread
from sweeps.core.formatting import metric_number, plural
from sweeps.core.identity import Protocol
from sweeps.core.measure import Measure
from sweeps.core.trial import Outcome
from sweeps.record.table import Row

TYPICAL = Spread(0.0122**2, 26.0)
"""Of accuracies: the variance over three seeds of each rung of experiments/ladder-laptop.yaml that learns reliably, all
but `plain` (docs/explanation/ladder.md), pooled."""
_ENOUGH_DEGREES = 4
"""Degrees of freedom of a measured variance that is used instead of the typical one: with fewer it is often wrong by a
factor of ten."""
_TYPICAL_SOURCE = (
    "a typical one, measured on 13 rungs of ladder-laptop.yaml, since this runs folder has too few replicates"
)


@dataclass(frozen=True, kw_only=True)
class KnownSpread:
    """The spread of a configuration over its seeds."""

    spread: Spread
    """In the unit of the metric."""
    measure: Measure
    source: str
    """Where it is from, in words."""
    is_typical: bool = False
    """Whether it was not measured in this runs folder."""

    @property
    def deviation(self) -> float:
        """Standard deviation in points, or in the unit of the metric."""
        return self.measure.factor * math.sqrt(self.spread.variance)

    @property
    def origin(self) -> str:
        """The standard deviation and its source, for a sentence."""
        return f"standard deviation over seeds {size(self.measure, self.deviation)}: {self.source}"

    def distinguishes(self, seeds: int) -> float:
        """Return the difference that so many seeds of each configuration find with 80 % probability, as `deviation`."""
        return self.measure.factor * detectable_difference(self.spread, seeds=seeds)

    def sentence(self, seeds: int) -> str:
        """Return what so many seeds of each configuration distinguish."""
        found = self.distinguishes(seeds)
        if math.isinf(found):
            return f"{plural(seeds, 'seed')} distinguish nothing ({self.origin})"
        return (
            f"{plural(seeds, 'seed')} each distinguish{'es' if seeds == 1 else ''} differences of "
            f"{size(self.measure, found)} or more (with 80 % probability; {self.origin})"
        )


def size(measure: Measure, value: float) -> str:
    """Return the size of a difference without a sign: `1.2 points`, `0.0123 val_loss`."""
    return f"{value:.1f} points" if measure.is_share else f"{metric_number(value)} {measure.name}"


def known_spread(
    rows: Iterable[Row], *, measure: Measure, protocol: Protocol | None, sweeps: frozenset[str]
) -> KnownSpread | None:
    """Return the pooled spread over seeds; None for a metric of which none is known.

    It is that of the confirmed configurations of these sweeps, else of all with the same protocol, else a typical one
    of accuracies. Too few seeds are no measurement.

    Args:
        rows: Rows of the record.
        measure: The metric.
        protocol: Images and budget of the runs to come; None for a ladder, whose rungs may have several: only its own
            runs count then.
        sweeps: Names of the sweeps that come first.
    """
    complete = [row for row in rows if row["status"] == Outcome.COMPLETE and not row["did_not_learn"]]
    named = " and ".join(sorted(sweeps))

    def is_of_sweep(row: Row) -> bool:
        return row["sweep"] in sweeps and (protocol is None or _budget(row["protocol"]) == _budget(protocol))

    def is_alike(row: Row) -> bool:
        return protocol is not None and bool(row["protocol"] == protocol)

    choices: tuple[tuple[Callable[[Row], bool], str], ...] = (
        (is_of_sweep, f"of {named}"),
        (is_alike, "with the same data and epochs"),
    )
    for belongs, of in choices:
        groups = _values_over_seeds([row for row in complete if belongs(row)], measure=measure)
        spread = pooled_spread(groups)
        if spread is not None and (spread.degrees >= _ENOUGH_DEGREES or not measure.is_share):
            several = sum(len(group) > 1 for group in groups)
            return KnownSpread(
                spread=spread, measure=measure, source=f"from {plural(several, 'confirmed configuration')} {of}"
            )
    if not measure.is_share:
        return None
    return KnownSpread(spread=TYPICAL, measure=measure, source=_TYPICAL_SOURCE, is_typical=True)


def _budget(protocol: Any) -> Any:
    return (protocol.train_images, protocol.epochs) if isinstance(protocol, Protocol) else None


def _values_over_seeds(rows: Iterable[Row], *, measure: Measure) -> list[list[float]]:
    """Return the values of each configuration under seeds that no search selected it by."""
    groups: dict[tuple[Any, ...], dict[int, float]] = {}
    for row in rows:
        is_selected = row["replicate_of"] is None and row["rung"] is None
        is_column = measure.name in ("val_accuracy", "test_accuracy")
        value = row[measure.name] if is_column else row["metric_value"]
        if is_selected or value is None or not (is_column or row["metric"] == measure.name):
            continue
        group = row["config_id"], row["source"], row["protocol"]
        groups.setdefault(group, {})[row["seed"]] = float(value)
    return [list(of_seed.values()) for of_seed in groups.values()]
