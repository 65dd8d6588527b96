"""Storage of trials in the study: attribute names, and reading a trial as a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.core.errors import DamagedJournalError
from sweeps.core.front import KnownValue
from sweeps.core.identity import Identity
from sweeps.core.results import ConfirmResult, EpochResult, TestResult, as_confusion
from sweeps.core.steering import PERSON
from sweeps.core.task import TaskConfig
from sweeps.core.trial import MeasuredOn, Outcome, RungLabel, TrialRecord
from sweeps.tasks.registry import IMAGES, read_config

if TYPE_CHECKING:
    from sweeps.system.compat import StoredStudy

KEY, DUPLICATE_OF, OUTCOME, FINISHED = "key", "duplicate_of", "outcome", "finished"
FORMAT_OF = "format"
"""Attribute of a study: value of `sweeps.core.trial.FORMAT` when the study was created."""
FIRST_NUMBER = "first_number"
"""Attribute of a study: number of trials in the sweep's earlier studies; absent for replicates."""
WIDENS = "widens"
"""Attribute of a study: name of the study in a narrower space that it continues."""
RECORDED_AS = "recorded_as"
"""Attribute of a study: its name in the record, which it has from the first study that it continues."""
REPLICATE_OF = "replicate_of"
CONFIRM, CONFIRM_UNTIL, NAMES_PART = "confirm", "confirm_until", "names_part"
"""Fields of `TrialRecord`; absent for trials of a search and for replicates without them."""
RETRY_OF = "retry_of"
"""Number of the trial that this one replaces, which failed or whose code has changed."""
PAUSED = "paused"
"""Whether the trial is paused. It stays open in Optuna, also after the end of the search, to be continued."""
SKIPPED = "skipped"
"""Outcome that a trial had when `sweeps skip` set it aside: `running`, or `paused` by early stopping."""
CONTINUED = "continued"
"""Epochs of a trial when it was continued after `sweeps skip --undo`: it does not pause at this milestone."""
ASKED = "asked"
"""Id of the command of `sweeps add` that a trial carries out."""
EXPECTED = "expected"
"""Attribute of a search's study: number of a complete trial → `TrialRecord.expected_value`."""
RACE = "race"
"""Attribute of the study of replicates: a `sweeps.core.race.RaceState`; absent without a race."""
ENDED_BECAUSE = "ended_because"
"""Attribute of a search's study: why it ended before its number of trials, and how to continue it."""
SPENT = "spent"
"""Attribute of a search's study: number of trials after which its finite space was exhausted."""
KNOWN = "known"
"""Objectives that are known before the training, each as name, goal and value; absent with one objective."""
_EPOCH = "epoch:"
_NOTES = ("parameters", "log", "error", "error_class", "traceback", "reused_from", "environment", "violated")
"""Fields of `TrialRecord` that are set while a trial runs, stored in attributes of the same names."""


def entry_attributes(
    config: TaskConfig,
    identity: Identity,
    rung: RungLabel | None,
    *,
    started: float,
    replicate_of: int | None = None,
    confirm_until: float | None = None,
    retry_of: int | None = None,
    asked: str | None = None,
) -> dict[str, Any]:
    """Return the attributes of a new trial in the order of writing. The key is last: a trial with a key is complete."""
    attributes = {
        "config": config.model_dump_json(),
        "config_id": identity.config_id,
        "source": identity.source,
        "started": started,
        "rung": None if rung is None else asdict(rung),
        REPLICATE_OF: replicate_of,
        NAMES_PART: None if replicate_of is None else True,
        CONFIRM_UNTIL: confirm_until,
        RETRY_OF: retry_of,
        ASKED: asked,
        KEY: identity.key,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def name_in_record(study: optuna.Study | StoredStudy) -> str:
    """Return the name of a study in the record."""
    return str(study.user_attrs.get(RECORDED_AS, study.study_name))


def epoch_attribute(epoch: int) -> str:
    """Return the attribute name of an epoch's result."""
    return f"{_EPOCH}{epoch:04d}"


def store_test(study: optuna.Study, number: int, test: TestResult) -> None:
    """Store a trial's result on the test images in the study, since Optuna's trial has ended by then."""
    stored: dict[str, Any] = {"numbers": dict(test.numbers)}
    if test.count:
        stored = {"loss": test.loss, "correct": test.correct.hex(), "count": test.count, "confusion": test.confusion}
    study.set_user_attr(f"test:{number}", stored)


class StoredTrialReader:
    """Reads trials of one study as records. The study's attributes are read once, since Optuna copies them."""

    def __init__(self, study: optuna.Study, *, sweep: str) -> None:
        self._sweep = sweep
        self._study_name = name_in_record(study)
        self._attributes = study.user_attrs
        self._goal = study.direction.name.lower()

    @property
    def first_number(self) -> int:
        """Number in the sweep of the study's first trial."""
        return int(self._attributes.get(FIRST_NUMBER, 0))

    def record(self, number: int, attributes: Mapping[str, Any]) -> TrialRecord:
        """Return a trial as a record; an open trial is `interrupted`.

        Args:
            number: Number of the trial in the study.
            attributes: User attributes of the trial.

        Raises:
            DamagedJournalError: An attribute is missing or invalid.
        """
        of_study = {
            "sweep": self._sweep,
            "study": self._study_name,
            "first_number": self.first_number,
        }
        if "rung" not in attributes or attributes["rung"]["measured_on"] == MeasuredOn.METRIC:
            metric = self._attributes.get("metric", "val_accuracy")
            of_study |= {"metric": metric, "goal": None if metric in IMAGES.metrics else self._goal}
        try:
            expected = self._attributes.get(EXPECTED, {}).get(str(number))
            test = self._attributes.get(f"test:{number}")
            return _record(number, attributes, test=test, expected_value=expected, **of_study)
        except (KeyError, ValueError, TypeError) as error:
            raise DamagedJournalError(
                f"trial {number} in the journal of {self._sweep} cannot be read ({type(error).__name__}: {error}). "
                "Restore the journal from a copy, or start the sweep under another name."
            ) from error


def _record(
    number: int, attributes: Mapping[str, Any], *, test: Mapping[str, Any] | None, **of_study: Any
) -> TrialRecord:
    epochs = sorted(name for name in attributes if name.startswith(_EPOCH))
    return TrialRecord(
        **of_study,
        number=number,
        key=attributes[KEY],
        config_id=attributes["config_id"],
        source=attributes.get("source"),
        config=read_config(attributes["config"]),
        outcome=Outcome(attributes.get(OUTCOME, Outcome.INTERRUPTED)),
        epochs=tuple(EpochResult.from_dict(attributes[name]) for name in epochs),
        started=attributes["started"],
        finished=attributes.get(FINISHED),
        rung=_rung(attributes.get("rung")),
        replicate_of=attributes.get(REPLICATE_OF),
        confirm=ConfirmResult(**attributes[CONFIRM]) if CONFIRM in attributes else None,
        names_part=NAMES_PART in attributes,
        confirm_until=attributes.get(CONFIRM_UNTIL),
        proposed_by=PERSON if attributes.get(ASKED) else None,
        skipped=bool(attributes.get(SKIPPED)),
        test=_test(test),
        known=tuple(KnownValue(name=name, goal=goal, value=value) for name, goal, value in attributes.get(KNOWN, ())),
        **{name: attributes[name] for name in _NOTES if name in attributes},
    )


def _rung(stored: Mapping[str, Any] | None) -> RungLabel | None:
    return None if stored is None else RungLabel(**{**stored, "measured_on": MeasuredOn(stored["measured_on"])})


def _test(stored: Mapping[str, Any] | None) -> TestResult | None:
    if stored is None:
        return None
    if "numbers" in stored:
        return TestResult(numbers=stored["numbers"])
    return TestResult(
        loss=stored["loss"],
        correct=bytes.fromhex(stored["correct"]),
        count=stored["count"],
        confusion=as_confusion(stored["confusion"]),
    )


def read_records(study: optuna.Study, *, sweep: str) -> Iterator[TrialRecord]:
    """Yield the distinct trials of a study, without resuming them."""
    newest: dict[str, FrozenTrial] = {}
    for frozen in study.get_trials(deepcopy=False):
        if KEY in frozen.user_attrs and DUPLICATE_OF not in frozen.user_attrs:
            # A retried trial is stored twice.
            newest.pop(frozen.user_attrs[KEY], None)
            newest[frozen.user_attrs[KEY]] = frozen
    records = StoredTrialReader(study, sweep=sweep)
    # A retried trial has another key if its code was fixed.
    replaced = {frozen.user_attrs.get(RETRY_OF) for frozen in newest.values()}
    for frozen in newest.values():
        if frozen.number in replaced:
            continue
        yield records.record(frozen.number, frozen.user_attrs)


def close_lost_trials(study: optuna.Study) -> None:
    """End trials whose configuration was not stored because of a crash. Nothing was trained for them."""
    trials = study.get_trials(deepcopy=False)
    for _ in range(sum(trial.state == TrialState.WAITING for trial in trials)):
        # Optuna ends only running trials, and `ask` starts the one that waits longest.
        study.tell(study.ask(), state=TrialState.FAIL)
    for trial in trials:
        if trial.state == TrialState.RUNNING and KEY not in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL)
