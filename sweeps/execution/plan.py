"""`RunPlan`: what the runner carries out, a sweep's or a ladder's file turned into proposals, limits and identity."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cifar_core.config import DataConfig, TrainingConfig
from sweeps.spec import (
    FULL_BUDGET,
    SPLIT_FIELDS,
    Budget,
    EarlyTerminate,
    Ladder,
    Limits,
    Metric,
    Resources,
    SearchSpace,
    SweepSpec,
)
from sweeps.study import Candidate, ListProposer, Proposer, proposer_of
from sweeps.trial_record import RungLabel

KeyOf = Callable[[TrainingConfig], str]


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything the runner needs to know, whoever wrote it."""

    name: str
    description: str
    definition: Mapping[str, Any]
    """What makes it this study and no other, as flat JSON values."""
    metric: Metric
    run_cap: int | None
    limits: Limits
    resources: Resources
    early_terminate: EarlyTerminate
    epochs: int
    """Of the longest run."""
    data: Sequence[DataConfig]
    """Every way in which its runs split the images."""
    models: Sequence[str]
    """Every network's name."""
    proposer: Callable[[KeyOf], Proposer]
    tested: bool = False
    """Whether each complete run is measured on the test images: a ladder's are, a search's never."""


def plan_of_sweep(spec: SweepSpec) -> RunPlan:
    """Return a sweep's file as the runner takes it."""
    return RunPlan(
        name=spec.name,
        description=spec.description,
        definition=spec.definition(),
        metric=spec.metric,
        run_cap=spec.run_cap,
        limits=spec.limits,
        resources=spec.resources,
        early_terminate=spec.early_terminate,
        epochs=spec.space.max_value("epochs"),
        data=_splits(spec.space),
        models=list(dict.fromkeys(map(str, spec.space.listed_values("model.name")))),
        proposer=lambda key_of: proposer_of(spec),
    )


def _splits(space: SearchSpace) -> list[DataConfig]:
    fields = [path.removeprefix("data.") for path in SPLIT_FIELDS]
    values = [space.listed_values(path) for path in SPLIT_FIELDS]
    splits = []
    for combination in itertools.product(*values):
        # Possible sizes, impossible together: the proposer passes over them too.
        with contextlib.suppress(ValidationError):
            splits.append(DataConfig.model_validate(dict(zip(fields, combination, strict=True))))
    return splits


def plan_of_ladder(
    ladder: Ladder,
    *,
    budget: Budget = FULL_BUDGET,
    only: Sequence[str] = (),
    cost: Callable[[TrainingConfig], float] | None = None,
) -> RunPlan:
    """Return a ladder as the runner takes it.

    Args:
        ladder: the ladder.
        budget: how much of it is spent.
        only: names of the rungs to run; all where empty.
        cost: seconds that a configuration takes; where given, the longest are begun first.

    Raises:
        SweepError: there is no rung of a name in `only`.
    """
    rungs = [ladder.rung(name) for name in only] if only else list(ladder.rungs)
    candidates = []
    for rung in rungs:
        shared = budget.apply(rung.config)
        label = RungLabel(name=rung.name, index=rung.index, parent=rung.parent, reduced=budget.reduced(rung.config))
        for offset in range(budget.seeds):
            config = shared.model_copy(update={"seed": shared.seed + offset})
            candidates.append(Candidate(config=config, rung=label))
    return RunPlan(
        name=ladder.name,
        description=ladder.description,
        # One study for all budgets and seeds: a rung is identified by its key, not by its place in a space.
        definition={"kind": "ladder"},
        metric=Metric(name="train_loss", goal="minimize"),
        run_cap=None,
        limits=ladder.limits,
        resources=ladder.resources,
        early_terminate=EarlyTerminate(),
        epochs=max(candidate.config.epochs for candidate in candidates),
        data=[candidate.config.data for candidate in candidates],
        models=list(dict.fromkeys(candidate.config.model.name for candidate in candidates)),
        proposer=lambda key_of: ListProposer(candidates, key_of=key_of, cost=cost),
        tested=True,
    )
