"""What a recorded sweep searched: its parameters as its journal has them, and which trial had which values.

The sweep's file may be gone or changed by then. Each value is as Optuna stores it, so that what was active in a trial
is what Optuna has a value of there.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState
from pydantic import ValidationError

from sweeps.core.errors import SweepError
from sweeps.files.parameter import Parameter, label

TRIALS_FOR_PED_ANOVA = 30
"""Complete trials below which Optuna's importance is not asked for: it looks at the best tenth of them."""
_PARAMETERS = "parameters."


@dataclass(frozen=True, kw_only=True)
class SearchedParameter:
    """One parameter of a recorded search."""

    path: str
    """Dotted path into `TrainingConfig`."""
    choices: tuple[Any, ...] | None = None
    """Its listed values as Optuna stores them, in the file's order; None for a range."""
    condition: str | None = None
    """When it is active: `model.name is deep or resnet`; None for always."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What a recorded sweep searched."""

    sweep: str
    metric: str
    """Field of `EpochResult` that the search looks at."""
    maximize: bool
    parameters: tuple[SearchedParameter, ...]
    """In the file's order."""
    values: Mapping[int, Mapping[str, Any]]
    """Number of a trial in its study to the values it had, active parameters only."""
    ped_anova: Mapping[str, float] = field(default_factory=dict)
    """Optuna's importance of each parameter, which add up to 1; empty where it has too few complete trials."""


def searched_of(study: optuna.Study, *, sweep: str) -> Searched:
    """Return what a study searched.

    Raises:
        SweepError: it searched nothing: it is a ladder's, for instance.
    """
    definition = json.loads(study.user_attrs.get("definition", "{}"))
    trials = study.get_trials(deepcopy=False)
    seen: dict[str, BaseDistribution] = {}
    for trial in trials:
        seen |= trial.distributions
    stored = {path.removeprefix(_PARAMETERS): p for path, p in definition.items() if path.startswith(_PARAMETERS)}
    parameters = [_from_definition(path, content) for path, content in stored.items()]
    parameters += [_from_distribution(path, d) for path, d in sorted(seen.items()) if path not in stored]
    if not parameters:
        raise SweepError(
            f"{sweep!r} searched no parameters: `sweeps effects` is for a search (`sweeps list` shows what there is); "
            "what the steps of a ladder brought is said by `sweeps ladder`"
        )
    return Searched(
        sweep=sweep,
        metric=study.user_attrs.get("metric", "val_accuracy"),
        maximize=study.direction.name == "MAXIMIZE",
        parameters=tuple(parameters),
        values={trial.number: trial.params for trial in trials},
        ped_anova=_ped_anova(study),
    )


def _from_definition(path: str, content: Mapping[str, Any]) -> SearchedParameter:
    try:
        parameter = Parameter.model_validate(content)
    except ValidationError as error:
        raise SweepError(f"the journal's {_PARAMETERS}{path} cannot be read: {error.errors()[0]['msg']}") from None
    condition = " and ".join(
        f"{other} is {' or '.join(map(str, allowed))}" for other, allowed in parameter.conditions.items()
    )
    choices = None if parameter.is_range else tuple(map(label, parameter.choices))
    return SearchedParameter(path=path, choices=choices, condition=condition or None)


def _from_distribution(path: str, distribution: BaseDistribution) -> SearchedParameter:
    choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else None
    return SearchedParameter(path=path, choices=choices)


def _ped_anova(study: optuna.Study) -> dict[str, float]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    # Of equal values it would share out an importance of 1 among parameters that did nothing.
    if len(complete) < TRIALS_FOR_PED_ANOVA or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        # It warns of every condition that few trials fulfil.
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)
