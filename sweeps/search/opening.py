"""Opens the Optuna study of a sweep that matches the current file, or raises an error that lists the changes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna

from cifar_core.common.source import changed_files
from cifar_core.common.user_modules import written_name
from sweeps.core.errors import DamagedJournalError, NoSuchSweepError, StudyChangedError, UnsupportedFormatError
from sweeps.core.formatting import plural
from sweeps.core.identity import (
    RecordedTrial,
    generation,
    is_replicate_study,
    is_study_of,
    name_of_generation,
    replicate_study_name,
    study_name,
)
from sweeps.core.trial import FORMAT, Outcome, unsupported_format
from sweeps.files.definition import contains_point, definition_changes, space_of
from sweeps.files.settings import Metric
from sweeps.files.widened import not_wider
from sweeps.search.stored_trials import (
    DUPLICATE_OF,
    FIRST_NUMBER,
    FORMAT_OF,
    OUTCOME,
    WIDENS,
    epoch_attribute,
    name_in_record,
)
from sweeps.search.widening import continue_in, leftovers
from sweeps.store.folder import SweepFolder
from sweeps.store.journal import JournalFile
from sweeps.store.storage import read_storage
from sweeps.tasks.registry import read_config

if TYPE_CHECKING:
    from sweeps.system.compat import StoredStudy

SOURCES = "sources"
"""Attribute of a study: custom network, or file named by a configuration → file → hash."""


def open_study(
    folder: SweepFolder,
    *,
    definition: Mapping[str, Any],
    metric: Metric,
    pruner: optuna.pruners.BasePruner,
    new: bool,
    widen: bool = False,
    sources: Mapping[str, Mapping[str, str]] | None = None,
    recorded: Callable[[], Iterable[RecordedTrial]] = tuple,
    echo: Callable[[str], None] = lambda line: None,
) -> optuna.Study:
    """Return the sweep's study; create it if there is none. Call it while holding the folder's lock.

    Args:
        folder: Folder of the sweep.
        definition: Flat definition of space, base and metric. Another definition needs another study.
        metric: Metric of the search.
        pruner: Pruner of the study.
        new: Create another study if the definition or the custom code has changed.
        widen: Continue the last study if the new definition's space contains its space.
        sources: Custom network → file → hash. A change needs another study if trials were trained with the previous
            files; if all of them failed, the study is continued with the fixed code.
        recorded: The recorded trials of this sweep. If some belong to a study that is not in the journal, the folder
            was lost: a new study is created, and its trial numbers follow the recorded ones.
        echo: Prints a note that `new` has no effect because nothing has changed.

    Raises:
        StudyChangedError: The study has another definition or other code, and `new` is False.
        UnsupportedFormatError: A study has a format that this version cannot read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = folder.open_study_storage()
    _delete_leftovers(storage, folder)
    stored = {study.study_name: study for study in _searches(storage, folder)}
    base = _base_name(stored.values(), folder, definition) or study_name(folder.sweep, definition)
    known = {number: name for name in stored if (number := generation(name, of=base)) is not None}
    number = max(known, default=None)
    former = _last_opened(stored.values()) if stored and not known and not new else None
    if former is not None and (refusal := _not_continued(former, storage, folder, definition, widen=widen)):
        raise refusal
    current = former if number is None else stored[known[number]]
    differences: list[str] = []
    if current is not None:
        differences = _code_changes(current, storage, sources or {}, only_trained=not new)
        if differences and not new:
            copies = f" Copies of the earlier code are in {folder.path / 'code'}."
            raise _study_changed(folder, "with other code", differences, definition=definition, more=copies)
    if number is None or differences:
        taken = [*_taken_names(stored.values()), *(trial.study for trial in recorded())]
        generations = (generation(each, of=base) for each in taken)
        number = max((found + 1 for found in generations if found is not None), default=0)
    elif new:
        echo(
            f"--new had no effect: {folder.sweep} has the same space, base and metric as before and is resumed. To "
            f"start again, change `name` in the file, or delete the runs with `sweeps rm {folder.sweep}`."
        )
    name = name_of_generation(base, number)
    if former is not None:
        _continue(former, storage, definition, name=name, echo=echo)
    study = optuna.create_study(
        storage=storage, study_name=name, direction=metric.goal, pruner=pruner, load_if_exists=True
    )
    _set_attributes(
        study, storage, folder, definition=definition, metric=metric, sources=sources or {}, recorded=recorded
    )
    if former is not None:
        optuna.delete_study(study_name=former.study_name, storage=storage)
    return study


def _taken_names(stored: Iterable[StoredStudy]) -> Iterator[str]:
    """Yield the names that a new study must not have: also those of former studies, whose trials others continue."""
    for study in stored:
        yield from (study.study_name, name_in_record(study), study.user_attrs.get(WIDENS, ""))


def _delete_leftovers(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> None:
    """Delete the studies that a driver left when it failed while it widened the space of a search."""
    _readable(storage, folder)  # nothing is deleted from a study of another version
    for name in _leftovers(_stored_studies(storage, folder)):
        optuna.delete_study(study_name=name, storage=storage)


def _leftovers(stored: Iterable[StoredStudy]) -> set[str]:
    return leftovers([study for study in stored if not is_replicate_study(study.study_name)])


def _not_continued(
    former: StoredStudy,
    storage: optuna.storages.BaseStorage,
    folder: SweepFolder,
    definition: Mapping[str, Any],
    *,
    widen: bool,
) -> StudyChangedError | None:
    """Return the error that a study cannot be continued with another definition; None if it is to be widened."""
    before = json.loads(former.user_attrs.get("definition", "{}"))
    obstacles = not_wider(before, definition)
    if widen and not obstacles:
        return None
    more = ""
    if widen:
        more = f" --widen needs a space that contains the former one, which {', '.join(obstacles)} prevents."
    elif not obstacles:
        more = " The new space contains the former one: --widen continues the sweep in it, with its trials."
    changes = [*definition_changes(before, definition), *_kept_trials(former, storage, definition)]
    return _study_changed(folder, "with another space, base or metric", changes, definition=definition, more=more)


def _continue(
    former: StoredStudy,
    storage: optuna.storages.BaseStorage,
    definition: Mapping[str, Any],
    *,
    name: str,
    echo: Callable[[str], None],
) -> None:
    """Copy the trials of a study to a new one with a wider space."""
    space = space_of(definition)
    assert space is not None, "it contains the former one"
    before = optuna.load_study(study_name=former.study_name, storage=storage)
    study = continue_in(space, before, storage=storage, name=name, definition=json.dumps(definition))
    trials = [trial for trial in study.get_trials(deepcopy=False) if "config" in trial.user_attrs]
    outside = sum(not trial.params for trial in trials)
    of_them = f"; {outside} of them lie outside and are not used by the sampler" if outside else ""
    echo(f"The search continues in the wider space with its {plural(len(trials), 'trial')}{of_them}.")


def _base_name(stored: Iterable[StoredStudy], folder: SweepFolder, definition: Mapping[str, Any]) -> str | None:
    """Return the name of the study with this or an equivalent definition; None if there is none.

    Equivalent definitions differ in spelling, such as 0 and 0.0, or a default value that is written or left out.
    """
    exact = study_name(folder.sweep, definition)
    if any(generation(study.study_name, of=exact) is not None for study in stored):
        return exact
    for study in sorted(stored, key=_opened, reverse=True):
        begun = json.loads(study.user_attrs.get("definition", "{}"))
        if begun and not definition_changes(begun, definition):
            return study_name(folder.sweep, begun)
    return None


def _kept_trials(
    summary: StoredStudy, storage: optuna.storages.BaseStorage, definition: Mapping[str, Any]
) -> list[str]:
    """Return a note on the existing trials, for the error that the definition has changed."""
    space = space_of(definition)
    trials = optuna.load_study(study_name=summary.study_name, storage=storage).get_trials(deepcopy=False)
    configs = [
        read_config(trial.user_attrs["config"])
        for trial in trials
        if "config" in trial.user_attrs and DUPLICATE_OF not in trial.user_attrs
    ]
    if space is None or not configs:
        return []
    inside = sum(contains_point(space, config) for config in configs)
    reused = f"{inside} of them in the new space, of which the complete ones are reused"
    return [
        f"{plural(len(configs), 'trial')} of the earlier study stay in the record: "
        f"{reused if inside else 'none in the new space'}"
    ]


def _set_attributes(
    study: optuna.Study,
    storage: optuna.storages.BaseStorage,
    folder: SweepFolder,
    *,
    definition: Mapping[str, Any],
    metric: Metric,
    sources: Mapping[str, Mapping[str, str]],
    recorded: Callable[[], Iterable[RecordedTrial]],
) -> None:
    """Set the attributes of a study that it lacks, also after a driver failed in between."""
    # The format before the metric: a study with a metric and no format is of another version.
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
    """Return the study of the replicates of the last search; create it if there is none.

    Call it while holding the folder's lock. It is in the same journal and has the search's metric, but no sampler.

    Raises:
        NoSuchSweepError: There is no search.
    """
    search = read_study(folder)
    study = optuna.create_study(
        storage=folder.open_study_storage(),
        study_name=replicate_study_name(name_in_record(search)),
        direction=search.direction,
        pruner=optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    for attribute, value in ((FORMAT_OF, FORMAT), ("metric", search.user_attrs["metric"])):
        if attribute not in study.user_attrs:
            study.set_user_attr(attribute, value)
    return study


def _searches(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[StoredStudy]:
    return [study for study in _readable(storage, folder) if not is_replicate_study(study.study_name)]


def _names(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[str]:
    return [study.study_name for study in _readable(storage, folder)]


def _readable(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[StoredStudy]:
    """Return the studies of a sweep.

    Raises:
        UnsupportedFormatError: One of them has a format that this version cannot read.
    """
    studies = _stored_studies(storage, folder)
    for study in studies:
        found = study.user_attrs.get(FORMAT_OF)
        # A driver may have failed before it set any attribute.
        if found != FORMAT and (found is not None or "metric" in study.user_attrs):
            raise UnsupportedFormatError(
                unsupported_format(f"the journal of {folder.sweep} under {folder.runs}", found)
            )
    hidden = _leftovers(studies)
    return [study for study in studies if study.study_name not in hidden]


def _stored_studies(storage: optuna.storages.BaseStorage, folder: SweepFolder) -> list[StoredStudy]:
    # A database contains the studies of all sweeps. Optuna's summaries are not used: each copies every trial.
    stored = storage.get_all_studies()
    return [each for each in stored if folder.database is None or is_study_of(each.study_name, sweep=folder.sweep)]


def _stored(folder: SweepFolder) -> tuple[optuna.storages.BaseStorage, DamagedJournalError | None]:
    """Return a sweep's storage for reading, and an error if its journal is damaged."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if (database := folder.database) is not None:
        return database.reading(), None
    journal = JournalFile(folder.journal)
    if not journal.exists:
        raise NoSuchSweepError.under(folder.runs, folder.sweep)
    storage, damage = read_storage(journal)
    return storage, None if damage is None else journal.error(damage)


def _code_changes(
    summary: StoredStudy,
    storage: optuna.storages.BaseStorage,
    sources: Mapping[str, Mapping[str, str]],
    *,
    only_trained: bool,
) -> list[str]:
    """Return the changes of the custom code since a study was created, one text per file.

    Args:
        summary: The study.
        storage: Storage of the study.
        sources: Current files and hashes.
        only_trained: Leave out code for which no trial has a result yet.
    """
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    trials = [trial.user_attrs for trial in study.get_trials(deepcopy=False) if "config" in trial.user_attrs]
    before = summary.user_attrs.get(SOURCES, {})
    changes = []
    for name in sorted(before.keys() & sources.keys()):
        has_results = any(_mentions(of, name) for of in trials if _has_result(of))
        if has_results or not only_trained:
            changes += [f"{written_name(name)}: {change}" for change in changed_files(before[name], sources[name])]
    return changes


def _has_result(attributes: Mapping[str, Any]) -> bool:
    """Return whether a trial was trained for at least an epoch and did not fail."""
    outcome = attributes.get(OUTCOME)
    return outcome != Outcome.FAILED and (outcome is not None or epoch_attribute(1) in attributes)


def _mentions(attributes: Mapping[str, Any], name: str) -> bool:
    """Return whether a trial's configuration contains the name of a custom network or file."""
    return any(written_name(name) == text for text in _texts(json.loads(attributes["config"])))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


def _study_changed(
    folder: SweepFolder, how: str, changes: Iterable[str], *, definition: Mapping[str, Any], more: str = ""
) -> StudyChangedError:
    lines = "\n".join(f"  {line}" for line in changes)
    # `sweeps ladder` has no --new.
    is_ladder = definition.get("kind") == "ladder"
    return StudyChangedError(
        f"sweep {folder.sweep!r} was started {how}:\n{lines}\n"
        + (
            "Undo the change, or change `name` in the file."
            if is_ladder
            else "Undo the change, change `name` in the file, or start a new study under this name with --new."
        )
        + more
    )


def delete_studies(folder: SweepFolder) -> None:
    """Delete a sweep's studies and commands from its database, if it has one. Call it with the folder's lock."""
    if folder.database is not None:
        from sweeps.store.command_table import CommandTable

        storage = folder.open_study_storage()
        for study in _stored_studies(storage, folder):
            optuna.delete_study(study_name=study.study_name, storage=storage)
        CommandTable(folder.database.engine, folder.sweep).clear()


def read_study(folder: SweepFolder) -> optuna.Study:
    """Return the last search of a sweep for reading, also while a driver writes it.

    Raises:
        NoSuchSweepError: There is no study.
        DamagedJournalError: The journal is damaged and no study can be read.
    """
    return read_studies(folder).search


def is_ladder_study(study: optuna.Study) -> bool:
    """Return whether a study contains the rungs of a ladder, or the two configurations of a question."""
    return json.loads(study.user_attrs.get("definition", "{}")).get("kind") in ("ladder", "judge")


@dataclass(frozen=True, kw_only=True)
class Studies:
    """The last search of a sweep and its replicates, for reading."""

    search: optuna.Study
    replicates: optuna.Study | None
    """None if there are no replicates."""
    damage: DamagedJournalError | None
    """Error for a damaged journal: both studies end before the damaged line. None if it is intact."""


def read_studies(folder: SweepFolder) -> Studies:
    """Return the studies of a sweep from one reading, also while a driver writes them.

    Raises:
        NoSuchSweepError: There is no study.
        DamagedJournalError: The journal is damaged and no study can be read.
        UnsupportedFormatError: They have a format that this version cannot read.
    """
    storage, damage = _stored(folder)
    stored = _searches(storage, folder)
    if not stored and damage is not None:
        raise damage
    if not stored:
        raise NoSuchSweepError(f"sweep {folder.sweep!r} has no trials yet")
    search = _last_opened(stored)
    replicates = replicate_study_name(name_in_record(search))
    return Studies(
        search=optuna.load_study(study_name=search.study_name, storage=storage),
        replicates=optuna.load_study(study_name=replicates, storage=storage)
        if replicates in _names(storage, folder)
        else None,
        damage=damage,
    )


def read_all_studies(folder: SweepFolder) -> tuple[list[optuna.Study], DamagedJournalError | None]:
    """Return all studies of a sweep for reading, and an error if its journal is damaged.

    Studies of `--new` and of replicates are included. Unlike `read_studies` it accepts a journal without studies.

    Raises:
        NoSuchSweepError: There is no journal.
    """
    storage, damage = _stored(folder)
    return [optuna.load_study(study_name=name, storage=storage) for name in _names(storage, folder)], damage


def _last_opened(stored: Iterable[StoredStudy]) -> StoredStudy:
    return max(stored, key=_opened)


def _opened(study: StoredStudy) -> float:
    return float(study.user_attrs.get("opened", 0.0))
