"""The searched parameters of a recorded sweep and the values of its trials, read from its journal.

The sweep's file may have changed or been deleted. Values are as Optuna stores them: a parameter was active in a trial
if Optuna has a value for it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from sweeps.core.errors import SweepError
from sweeps.files.distributions import is_converted, value_of
from sweeps.files.parameter import Parameter, Scalar, label
from sweeps.files.space_check import value_at
from sweeps.tasks.registry import read_config

TRIALS_FOR_PED_ANOVA = 30
"""Minimum number of complete trials for Optuna's importances, which compare the best tenth with the rest."""
_PARAMETERS = "parameters."


@dataclass(frozen=True, kw_only=True)
class SearchedParameter:
    """One parameter of a recorded search."""

    path: str
    """Dotted path into `TrainingConfig`."""
    choices: tuple[Any, ...] | None = None
    """Listed values as Optuna stores them, in the file's order; None for a range."""
    condition: str | None = None
    """When the parameter is active, such as `model.name is deep or resnet`; None if always."""


@dataclass(frozen=True, kw_only=True)
class RecordedSearch:
    """The searched parameters of a recorded sweep and the values of its trials."""

    sweep: str
    metric: str
    """Metric of the search, a field of `EpochResult`."""
    maximize: bool
    parameters: tuple[SearchedParameter, ...]
    """In the file's order."""
    values: Mapping[int, Mapping[str, Any]]
    """Trial number in the study → values of its active parameters."""
    ped_anova: Mapping[str, float] = field(default_factory=dict)
    """Optuna's importances of the parameters, which add up to 1; empty if there are too few complete trials."""


def recorded_search_of(study: optuna.Study, *, sweep: str) -> RecordedSearch:
    """Return the searched parameters of a study and the values of its trials.

    Raises:
        SweepError: The study has no searched parameters, for instance because it belongs to a ladder.
    """
    definition = json.loads(study.user_attrs.get("definition", "{}"))
    trials = study.get_trials(deepcopy=False)
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        distributions |= trial.distributions
    stored = {
        path.removeprefix(_PARAMETERS): _stored_parameter(path, content)
        for path, content in definition.items()
        if path.startswith(_PARAMETERS)
    }
    converted = {path: parameter for path, parameter in stored.items() if is_converted(parameter)}
    parameters = [_from_definition(path, parameter) for path, parameter in stored.items()]
    parameters += [_from_distribution(path, d) for path, d in sorted(distributions.items()) if path not in stored]
    if not parameters:
        raise SweepError(
            f"{sweep!r} searched no parameters. Name a search (`sweeps list` shows them). "
            "For the gains of a ladder's rungs run `sweeps ladder`."
        )
    return RecordedSearch(
        sweep=sweep,
        metric=study.user_attrs.get("metric", "val_accuracy"),
        maximize=study.direction.name == "MAXIMIZE",
        parameters=tuple(parameters),
        values={trial.number: _values_of(trial, converted) for trial in trials},
        ped_anova=_ped_anova(study),
    )


def _values_of(trial: FrozenTrial, converted: Mapping[str, Parameter]) -> Mapping[str, Any]:
    """Return a trial's values, also of the parameters for which Optuna stores another number."""
    values = trial.params
    for path in values.keys() & converted.keys():
        value = label(value_of(converted[path], trial.params[path]))
        recorded = _recorded_value(trial, path, default=value) if converted[path].is_range else value
        values = {**values, path: recorded}
    return values


def _recorded_value(trial: FrozenTrial, path: str, *, default: Scalar) -> Any:
    """Return a value of a trial's configuration: an integer field has a rounded one."""
    try:
        return value_at(read_config(trial.user_attrs["config"]), path)
    except (AttributeError, KeyError):
        return default


def _stored_parameter(key: str, content: Mapping[str, Any]) -> Parameter:
    try:
        return Parameter.model_validate(content)
    except ValidationError as error:
        raise SweepError(f"{key} in the journal cannot be read: {error.errors()[0]['msg']}") from None


def _from_definition(path: str, parameter: Parameter) -> SearchedParameter:
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
    # With equal values it would distribute an importance of 1 among parameters without effect.
    if len(complete) < TRIALS_FOR_PED_ANOVA or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        # It warns about each condition that few trials fulfil.
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)
