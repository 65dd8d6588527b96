"""Opening a sweep's Optuna study: the right one for the file as it is now, or a refusal that says what changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna

from cifar_core.common.source import changed_files
from sweeps.core.errors import DamagedJournalError, NoSuchSweepError, OtherFormatError, StudyChangedError
from sweeps.core.formatting import plural
from sweeps.core.identity import (
    RecordedTrial,
    generation,
    is_of_replicates,
    is_study_of,
    name_of_generation,
    name_of_replicates,
    study_name,
)
from sweeps.core.trial import FORMAT, Outcome, other_format
from sweeps.files.definition import definition_changes, holds, space_of
from sweeps.files.settings import Metric
from sweeps.search.stored_trials import DUPLICATE_OF, FIRST_NUMBER, FORMAT_OF, OUTCOME, epoch_attribute
from sweeps.store.folder import SweepFolder
from sweeps.store.journal import JournalFile
from sweeps.store.storage import read_storage
from sweeps.tasks.registry import read_config

if TYPE_CHECKING:
    from sweeps.system.compat import StoredStudy

SOURCES = "sources"
"""Attribute of a study: each network of the user's own, and each file that its configurations name, to the files that
take part, with their hashes."""


def open_study(
    folder: SweepFolder,
    *,
    definition: Mapping[str, Any],
    metric: Metric,
    pruner: optuna.pruners.BasePruner,
    new: bool,
    sources: Mapping[str, Mapping[str, str]] | None = None,
    recorded: Callable[[], Iterable[RecordedTrial]] = tuple,
    say: Callable[[str], None] = lambda line: None,
) -> optuna.Study:
    """Return the sweep's study, created if need be; to be called under the folder's lock.

    Args:
        folder: the sweep's.
        definition: flat description of space, base and metric; another one is another study.
        metric: what the search looks at.
        pruner: is asked after each epoch.
        new: begin another study where the sweep has one with another definition, or other networks.
        sources: of each network of the user's own, the files that take part, with their hashes. Where trials were
            trained with others, a search with these is another one; where all of them failed, it is the same, mended.
        recorded: the trials that the record holds of this sweep. A study of which it has some and the journal has none
            was lost with its folder: the one that begins now is another, and its numbers go on.
        say: tells a person that `new` begins nothing, since nothing has changed.

    Raises:
        StudyChangedError: there is one with another definition or other networks, and `new` is False.
        OtherFormatError: there is one that this version does not read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = folder.open_study_storage()
    stored = {study.study_name: study for study in _searches(storage, folder)}
    base = _begun_as(stored.values(), folder, definition) or study_name(folder.sweep, definition)
    known = {number: name for name in stored if (number := generation(name, of=base)) is not None}
    if stored and not known and not new:
        latest = json.loads(_last_opened(stored.values()).user_attrs.get("definition", "{}"))
        changes = [
            *definition_changes(latest, definition),
            *_what_stays(_last_opened(stored.values()), storage, definition),
        ]
        raise _changed(folder, "with another space, base or metric", changes, definition=definition)
    number = max(known, default=None)
    if number is not None:
        differences = _other_networks(stored[known[number]], storage, sources or {}, only_trained=not new)
        if differences and not new:
            kept = f"; the code of then is kept under {folder.path / 'code'}"
            raise _changed(folder, "with other code", differences, definition=definition, more=kept)
        if differences:
            number += 1
        elif new:
            say(
                f"--new does nothing: {folder.sweep} was begun with this space, base and metric, and is resumed; to "
                f"begin anew give the file another name, or remove its runs with `sweeps rm {folder.sweep}`"
            )
    if number is None:
        lost = [generation(trial.study, of=base) for trial in recorded()]
        number = max((found + 1 for found in lost if found is not None), default=0)
    study = optuna.create_study(
        storage=storage,
        study_name=name_of_generation(base, number),
        direction=metric.goal,
        pruner=pruner,
        load_if_exists=True,
    )
    _describe(study, storage, folder, definition=definition, metric=metric, sources=sources or {}, recorded=recorded)
    return study


def _begun_as(stored: Iterable[StoredStudy], folder: SweepFolder, definition: Mapping[str, Any]) -> str | None:
    """Return the name of the study that was begun with this definition, or with one that searches the same.

    A definition may be written in many ways: 0 and 0.0, a default or nothing. The study keeps the name that it has.
    """
    exact = study_name(folder.sweep, definition)
    if any(generation(study.study_name, of=exact) is not None for study in stored):
        return exact
    for study in sorted(stored, key=_opened, reverse=True):
        begun = json.loads(study.user_attrs.get("definition", "{}"))
        if begun and not definition_changes(begun, definition):
            return study_name(folder.sweep, begun)
    return None


def _what_stays(summary: StoredStudy, storage: optuna.storages.BaseStorage, definition: Mapping[str, Any]) -> list[str]:
    """Return in words what becomes of a study's trials where another one begins under its name."""
    space = space_of(definition)
    trials = optuna.load_study(study_name=summary.study_name, storage=storage).get_trials(deepcopy=False)
    configs = [
        read_config(trial.user_attrs["config"])
        for trial in trials
        if "config" in trial.user_attrs and DUPLICATE_OF not in trial.user_attrs
    ]
    if space is None or not configs:
        return []
    inside = sum(holds(space, config) for config in configs)
    taken = f"; {inside} of them lie in the new space, and a complete one is taken over there, not trained again"
    return [
        f"its {plural(len(configs), 'trial')} stay in the record{taken if inside else ', outside of the new space'}"
    ]


def _describe(
    study: optuna.Study,
    storage: optuna.storages.BaseStorage,
    folder: SweepFolder,
    *,
    definition: Mapping[str, Any],
    metric: Metric,
    sources: Mapping[str, Mapping[str, str]],
    recorded: Callable[[], Iterable[RecordedTrial]],
) -> None:
    """Note with a study what it is; a driver that died before the last note has it done by the next one."""
    # The format before the metric: what has a metric and no format is none of ours.
    attributes: dict[str, Any] = {FORMAT_OF: FORMAT, "definition": json.dumps(definition), "metric": metric.name}
    known = study.user_attrs
    if (now := {name: dict(files) for name, files in sources.items()}) != known.get(SOURCES):
        study.set_user_attr(SOURCES, now)
    if FIRST_NUMBER not in known and not study.get_trials(deepcopy=False):
        others = [
            optuna.load_study(study_name=name, storage=storage)
            for name in (other.study_name for other in _searches(storage, folder))
            if name != study.study_name
        ]
        ends = [other.user_attrs.get(FIRST_NUMBER, 0) + len(other.get_trials(deepcopy=False)) for other in others]
        attributes[FIRST_NUMBER] = max([0, *ends, *(trial.trial + 1 for trial in recorded())])
    for attribute, value in attributes.items():
        if attribute not in known:
            study.set_user_attr(attribute, value)
    study.set_user_attr("opened", time.time())


def open_replicates(folder: SweepFolder) -> optuna.Study:
    """Return the study of the replicates of the search that the sweep was last run with, created if need be.

    To be called under the folder's lock. It lies in the same journal and has the search's metric; no sampler is ever
    asked with it.

    Raises:
        NoSuchSweepError: there is no search.
    """
    search = read_study(folder)
    study = optuna.create_study(
        storage=folder.open_study_storage(),
        study_name=name_of_replicates(search.study_name),
        direction=search.direction,
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    for attribute, value in ((FORMAT_OF, FORMAT), ("metric", search.user_attrs["metric"])):
        if attribute not in study.user_attrs:
            study.set_user_attr(attribute, value)
    return study


def _searches(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[StoredStudy]:
    return [study for study in _readable(storage, folder) if not is_of_replicates(study.study_name)]


def _names(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[str]:
    return [study.study_name for study in _readable(storage, folder)]


def _readable(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[StoredStudy]:
    """Return the studies of a sweep.

    Raises:
        OtherFormatError: one of them is of a format that this version does not read.
    """
    studies = _stored_studies(storage, folder)
    for study in studies:
        found = study.user_attrs.get(FORMAT_OF)
        # A driver may have died before it noted anything.
        if found != FORMAT and (found is not None or "metric" in study.user_attrs):
            raise OtherFormatError(other_format(f"the journal of {folder.sweep} under {folder.runs}", found))
    return studies


def _stored_studies(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[StoredStudy]:
    # A journal holds no other sweep's, a database those of every sweep. Not Optuna's summaries: each makes a copy of
    # every trial.
    stored = storage.get_all_studies()
    return [each for each in stored if folder.database is None or is_study_of(each.study_name, sweep=folder.sweep)]


def _stored(folder: SweepFolder) -> tuple[optuna.storages.BaseStorage, DamagedJournalError | None]:
    """Return a sweep's storage for reading, and the damage of its journal."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if (database := folder.database) is not None:
        return database.reading(), None
    journal = JournalFile(folder.journal)
    if not journal.is_there:
        raise NoSuchSweepError.under(folder.runs, folder.sweep)
    storage, damage = read_storage(journal)
    return storage, None if damage is None else journal.error(damage)


def _other_networks(
    summary: StoredStudy,
    storage: optuna.storages.BaseStorage,
    sources: Mapping[str, Mapping[str, str]],
    *,
    only_trained: bool,
) -> list[str]:
    """Return in words what of the user's code has changed since a study was begun.

    Args:
        summary: of the study.
        storage: that holds it.
        sources: as they are now.
        only_trained: leave out what no trial has a result of, with which others would be mixed.
    """
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    trials = [trial.user_attrs for trial in study.get_trials(deepcopy=False) if "config" in trial.user_attrs]
    begun = summary.user_attrs.get(SOURCES, {})
    said = []
    for name in sorted(begun.keys() & sources.keys()):
        has_results = any(_may_use(of, name) for of in trials if _has_result(of))
        if has_results or not only_trained:
            said += [f"{name}: {change}" for change in changed_files(begun[name], sources[name])]
    return said


def _has_result(attributes: Mapping[str, Any]) -> bool:
    """Return whether a trial was trained, if only for an epoch; of one that failed nothing is compared."""
    outcome = attributes.get(OUTCOME)
    return outcome != Outcome.FAILED and (outcome is not None or epoch_attribute(1) in attributes)


def _may_use(attributes: Mapping[str, Any], name: str) -> bool:
    """Return whether a trial's configuration says a name anywhere: of its code, or of a file."""
    return any(name == text for text in _texts(json.loads(attributes["config"])))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


def _changed(
    folder: SweepFolder, how: str, changes: Iterable[str], *, definition: Mapping[str, Any], more: str = ""
) -> StudyChangedError:
    lines = "\n".join(f"  {line}" for line in changes)
    # The verb that runs a ladder has no --new.
    is_ladder = definition.get("kind") == "ladder"
    return StudyChangedError(
        f"sweep {folder.sweep!r} was begun {how}:\n{lines}\n"
        + (
            "give the file another name, or undo the change"
            if is_ladder
            else "give the file another name, undo the change, or begin anew under this name with --new"
        )
        + more
    )


def delete_studies(folder: SweepFolder) -> None:
    """Delete a sweep's studies from its database, where it has one; to be called under the folder's lock."""
    if folder.database is not None:
        storage = folder.open_study_storage()
        for study in _stored_studies(storage, folder):
            optuna.delete_study(study_name=study.study_name, storage=storage)


def read_study(folder: SweepFolder) -> optuna.Study:
    """Return the study that the sweep was last run with for reading, also while a driver writes it.

    Raises:
        NoSuchSweepError: there is none.
        DamagedJournalError: the damage of its journal leaves nothing of it.
    """
    return read_studies(folder).search


def is_of_a_ladder(study: optuna.Study) -> bool:
    """Return whether a study holds the rungs of a ladder: there is nothing in it that was searched."""
    return bool(json.loads(study.user_attrs.get("definition", "{}")).get("kind") == "ladder")


@dataclass(frozen=True, kw_only=True)
class Studies:
    """What a sweep's journal holds of the search that it was last run with, for reading."""

    search: optuna.Study
    replicates: optuna.Study | None
    """What confirms its best; None where nothing does."""
    damage: DamagedJournalError | None
    """What to do about the journal's damage: both studies are as of the line before it. None where it is whole."""


def read_studies(folder: SweepFolder) -> Studies:
    """Return the studies of a sweep, read once, also while a driver writes them.

    Raises:
        NoSuchSweepError: there is none.
        DamagedJournalError: the damage leaves nothing of them.
        OtherFormatError: they are of a format that this version does not read.
    """
    storage, damage = _stored(folder)
    stored = _searches(storage, folder)
    if not stored and damage is not None:
        raise damage
    if not stored:
        raise NoSuchSweepError(f"sweep {folder.sweep!r} has begun nothing yet")
    search = _last_opened(stored).study_name
    confirming = name_of_replicates(search)
    return Studies(
        search=optuna.load_study(study_name=search, storage=storage),
        replicates=optuna.load_study(study_name=confirming, storage=storage)
        if confirming in _names(storage, folder)
        else None,
        damage=damage,
    )


def read_all_studies(folder: SweepFolder) -> tuple[list[optuna.Study], DamagedJournalError | None]:
    """Return every study of a sweep's journal for reading, those of `--new` and of replicates too, and its damage.

    Unlike `read_studies` it takes a journal in which nothing was begun yet: there are none then.

    Raises:
        NoSuchSweepError: there is no journal.
    """
    storage, damage = _stored(folder)
    return [optuna.load_study(study_name=name, storage=storage) for name in _names(storage, folder)], damage


def _last_opened(stored: Iterable[StoredStudy]) -> StoredStudy:
    return max(stored, key=_opened)


def _opened(study: StoredStudy) -> float:
    return float(study.user_attrs.get("opened", 0.0))
