"""Continues a begun search in a wider space: another study of the same sweep with the same trials.

Optuna refuses further choices of a parameter in a stored study. The new study has the former one's trials under the
same numbers, and its name in the record (`RECORDED_AS`), so that no run is recorded twice.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial

from sweeps.files.space import SearchSpace
from sweeps.search.stored_trials import DUPLICATE_OF, RECORDED_AS, SPENT, WIDENS, name_in_record
from sweeps.store.storage import batched
from sweeps.tasks.registry import read_config

if TYPE_CHECKING:
    from sweeps.system.compat import StoredStudy

_OWN = frozenset({"definition", "opened", SPENT, WIDENS, RECORDED_AS})
"""Attributes of a study that its continuation does not take over."""


def leftovers(studies: Sequence[StoredStudy]) -> set[str]:
    """Return the names of the studies that remain if a driver fails while it widens the space of a search.

    These are a continuation without all of the trials, and a former study whose continuation has them.
    """
    unfinished = {study.study_name for study in studies if _is_unfinished(study.user_attrs)}
    names = {study.study_name for study in studies}
    former = {study.user_attrs.get(WIDENS) for study in studies if study.study_name not in unfinished}
    return {name for name in names if name in former} | (unfinished if unfinished != names else set())


def _is_unfinished(attributes: Mapping[str, Any]) -> bool:
    return "opened" not in attributes and (WIDENS in attributes or "metric" not in attributes)


def continue_in(
    space: SearchSpace, former: optuna.Study, *, storage: optuna.storages.BaseStorage, name: str, definition: str
) -> optuna.Study:
    """Return a new study with the trials of a former one. The caller deletes that one once this one is `opened`.

    Trials outside the space keep their results, but no values for the sampler.

    Args:
        space: The wider space.
        former: The study to continue.
        storage: Its storage.
        name: Name of the new study, which must not exist.
        definition: Its definition as JSON.
    """
    with batched(former):
        study = optuna.create_study(storage=storage, study_name=name, direction=former.direction, pruner=former.pruner)
        taken_over = {key: value for key, value in former.user_attrs.items() if key not in _OWN}
        own = {WIDENS: former.study_name, RECORDED_AS: name_in_record(former), "definition": definition}
        for key, value in {**own, **taken_over}.items():
            study.set_user_attr(key, value)
        trials = former.get_trials(deepcopy=False)
        for trial in trials:
            study.add_trial(_placed(trial, space, trials))
    return study


def _placed(trial: FrozenTrial, space: SearchSpace, trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return a trial with its values as the study of the space stores them."""
    attributes = trials[trial.user_attrs.get(DUPLICATE_OF, trial.number)].user_attrs
    point = space.point_of(read_config(attributes["config"])) if "config" in attributes else None
    params = {} if point is None else space.encode(point)
    placed = copy.copy(trial)
    placed.distributions = {path: space.distributions[path] for path in params}
    placed.params = params
    return placed
