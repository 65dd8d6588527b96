"""What the runner carries out: a sweep's or a ladder's file turned into proposals, limits and identity."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cifar_core.config import DataConfig, TrainingConfig
from sweeps.proposers import GridProposer, Proposer, SamplerProposer
from sweeps.space import SPLIT_FIELDS, SearchSpace
from sweeps.spec import EarlyTerminate, Limits, Metric, Resources, SweepSpec
from sweeps.yaml_files import flatten

KeyOf = Callable[[TrainingConfig], str]


@dataclass(frozen=True, kw_only=True)
class Undertaking:
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


def undertaking_of(spec: SweepSpec) -> Undertaking:
    """Return a sweep's file as the runner takes it."""
    space = spec.space
    base = TrainingConfig.model_validate(spec.base)
    return Undertaking(
        name=spec.name,
        description=spec.description,
        definition=_definition(spec),
        metric=spec.metric,
        run_cap=spec.run_cap,
        limits=spec.limits,
        resources=spec.resources,
        early_terminate=spec.early_terminate,
        epochs=base.epochs,
        data=_splits(space),
        models=list(dict.fromkeys(map(str, space.values_of("model.name")))),
        proposer=lambda key_of: proposer_of(spec),
    )


def proposer_of(spec: SweepSpec) -> Proposer:
    """Return who proposes a sweep's trials."""
    if spec.method == "grid":
        return GridProposer(spec.space)
    return SamplerProposer(spec.space, method=spec.method, seed=spec.seed, start_with=spec.start_with)


def _splits(space: SearchSpace) -> list[DataConfig]:
    fields = [path.removeprefix("data.") for path in SPLIT_FIELDS]
    values = [space.values_of(path) for path in SPLIT_FIELDS]
    splits = []
    for combination in itertools.product(*values):
        # Possible sizes, impossible together: the proposer passes over them too.
        with contextlib.suppress(ValidationError):
            splits.append(DataConfig.model_validate(dict(zip(fields, combination, strict=True))))
    return splits


def _definition(spec: SweepSpec) -> dict[str, Any]:
    parameters = {
        f"parameters.{path}": parameter.model_dump(mode="json", exclude_unset=True)
        for path, parameter in spec.parameters.items()
    }
    base = {f"base.{path}": value for path, value in flatten(spec.base).items()}
    metric = {"metric.name": spec.metric.name, "metric.goal": spec.metric.goal}
    # Through JSON, so that what was stored and what is compared with it are the same types.
    definition: dict[str, Any] = json.loads(json.dumps({**parameters, **base, **metric}))
    return definition
