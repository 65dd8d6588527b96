"""Opening a sweep's Optuna study: the right one for the file as it is now, or a refusal that says what changed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.study import StudySummary

from sweeps.errors import DamagedJournalError, NoSuchSweepError, StudyChangedError
from sweeps.identity import study_name
from sweeps.spec import Metric
from sweeps.study.folder import SweepFolder
from sweeps.study.journal import JournalFile
from sweeps.study.storage import read_storage


def open_study(
    folder: SweepFolder,
    *,
    definition: Mapping[str, Any],
    metric: Metric,
    pruner: optuna.pruners.BasePruner,
    new: bool,
) -> optuna.Study:
    """Return the sweep's study, created if need be; to be called under the folder's lock.

    Args:
        folder: the sweep's.
        definition: flat description of space, base and metric; another one is another study.
        metric: what the search looks at.
        pruner: is asked after each epoch.
        new: begin another study where the sweep has one with another definition.

    Raises:
        StudyChangedError: there is one with another definition, and `new` is False.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = folder.open_journal()
    name = study_name(folder.sweep, definition)
    stored = {study.study_name: study for study in optuna.get_all_study_summaries(storage)}
    if stored and name not in stored and not new:
        latest = json.loads(_last_opened(stored.values()).user_attrs.get("definition", "{}"))
        changes = "\n".join(f"  {line}" for line in _differences(latest, definition))
        raise StudyChangedError(
            f"sweep {folder.sweep!r} was begun with another space, base or metric:\n{changes}\n"
            "give the file another name, undo the change, or begin anew under this name with --new"
        )
    study = optuna.create_study(
        storage=storage, study_name=name, direction=metric.goal, pruner=pruner, load_if_exists=True
    )
    known = study.user_attrs
    for attribute, value in {"definition": json.dumps(definition), "metric": metric.name}.items():
        if attribute not in known:
            study.set_user_attr(attribute, value)
    study.set_user_attr("opened", time.time())
    return study


def read_study(folder: SweepFolder) -> optuna.Study:
    """Return the study that the sweep was last run with for reading, also while a driver writes it.

    Raises:
        NoSuchSweepError: there is none.
        DamagedJournalError: the damage of its journal leaves nothing of it.
    """
    return read_study_to_damage(folder)[0]


def read_study_to_damage(folder: SweepFolder) -> tuple[optuna.Study, DamagedJournalError | None]:
    """As `read_study`; where the journal is damaged it is the study as of the line before, and what to do about it.

    Raises:
        NoSuchSweepError: there is none.
        DamagedJournalError: the damage leaves nothing of it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not folder.journal.exists():
        raise NoSuchSweepError(f"no sweep {folder.sweep!r} under {folder.runs}: `sweeps list` shows what there is")
    journal = JournalFile(folder.journal)
    storage, damage = read_storage(journal)
    stored = optuna.get_all_study_summaries(storage)
    if not stored and damage is not None:
        raise journal.error(damage)
    if not stored:
        raise NoSuchSweepError(f"sweep {folder.sweep!r} has begun nothing yet")
    return optuna.load_study(study_name=_last_opened(stored).study_name, storage=storage), (
        None if damage is None else journal.error(damage)
    )


def _last_opened(stored: Iterable[StudySummary]) -> StudySummary:
    return max(stored, key=lambda study: float(study.user_attrs.get("opened", 0.0)))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"{path}: was {json.dumps(before.get(path))}, is {json.dumps(after.get(path))}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
