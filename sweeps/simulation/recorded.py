"""The learning curves of a recorded sweep."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from sweeps.core.errors import SweepError
from sweeps.core.formatting import plural
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.definition import space_of
from sweeps.search.best import Group, configuration_of, final_value
from sweeps.search.opening import read_studies
from sweeps.search.stored_trials import read_records
from sweeps.simulation.curves import Curve, Curves
from sweeps.store.folder import SweepFolder

MIN_COMPLETE = 2
"""With fewer complete trials there is nothing to find."""
_USABLE = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.DIVERGED)


def recorded_curves(runs: Path, sweep: str) -> Curves:
    """Return the curves of a sweep's last search, from its journal. Failed and interrupted trials are left out.

    Raises:
        NoSuchSweepError: There is no sweep of this name.
        DamagedJournalError: Its journal cannot be read.
        SweepError: It is a ladder, or has fewer than two complete trials.
    """
    studies = read_studies(SweepFolder(runs, sweep))
    study = studies.search
    space = space_of(json.loads(study.user_attrs.get("definition", "{}")))
    if space is None:
        raise SweepError(f"{sweep!r} has no search space to replay. Name a search (`sweeps list` shows them).")
    metric = study.user_attrs.get("metric", "val_accuracy")
    replicates = () if studies.replicates is None else read_records(studies.replicates, sweep=sweep)
    fresh = _means(replicates, metric)
    trials = study.get_trials(deepcopy=False)
    records = [record for record in read_records(study, sweep=sweep) if record.outcome in _USABLE and record.epochs]
    complete = sum(record.outcome is Outcome.COMPLETE for record in records)
    if complete < MIN_COMPLETE:
        raise SweepError(
            f"{sweep!r} has {plural(complete, 'complete trial')}, and a replay needs at least {MIN_COMPLETE}. Run the "
            "sweep again with a larger run_cap."
        )
    curves = [
        Curve(
            config=record.config,
            point=trials[record.number].params,
            epochs=record.epochs,
            outcome=record.outcome,
            known=record.known,
            true_value=fresh.get(configuration_of(record), _own_value(record, metric))
            if not record.violated
            else math.nan,
        )
        for record in records
    ]
    return Curves(curves, space=space, metric=metric, maximize=study.direction.name == "MAXIMIZE")


def _means(replicates: Iterable[TrialRecord], metric: str) -> Mapping[Group, float]:
    """Return the mean of the metric over the complete replicates of each configuration."""
    values = defaultdict(list)
    for record in replicates:
        if record.outcome is Outcome.COMPLETE and (value := final_value(record, metric)) is not None:
            values[configuration_of(record)].append(value)
    return {group: math.fsum(found) / len(found) for group, found in values.items()}


def _own_value(record: TrialRecord, metric: str) -> float:
    value = final_value(record, metric) if record.outcome is Outcome.COMPLETE else None
    return math.nan if value is None else value
