"""Which study a start goes on with: the same one as before, one that was changed, or another of the same name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from sweep_fakes import IDENTIFY

from cifar_core.config import TrainingConfig
from sweeps.core.errors import NoSuchSweepError, StudyChangedError
from sweeps.core.identity import RecordedTrial, study_name
from sweeps.core.trial import Outcome
from sweeps.files.settings import Metric
from sweeps.search.opening import open_study, read_studies, read_study
from sweeps.search.stored_trials import entry_attributes, read_records
from sweeps.store.folder import SweepFolder

DEFINITION = {"base.epochs": 2, "method": "random"}


@dataclass(frozen=True, kw_only=True)
class Start:
    """The starts of one sweep, each of which opens its study anew."""

    folder: SweepFolder

    def __call__(
        self,
        definition: Mapping[str, Any] = DEFINITION,
        *,
        new: bool = False,
        sources: Mapping[str, Mapping[str, str]] | None = None,
        recorded: Iterable[RecordedTrial] = (),
        metric: Metric | None = None,
    ) -> optuna.Study:
        return open_study(
            self.folder,
            definition=definition,
            metric=metric or Metric(),
            pruner=optuna.pruners.NopPruner(),
            new=new,
            sources=sources,
            recorded=lambda: recorded,
        )


@pytest.fixture
def start(runs: Path) -> Start:
    folder = SweepFolder(runs, "tiny")
    folder.path.mkdir(parents=True)
    return Start(folder=folder)


OWN = TrainingConfig.model_validate({"model": {"name": "nets:Tiny"}})


def code(digest: str) -> dict[str, str]:
    """Return the files of a network's code, which differ by what is given."""
    return {"nets.py": digest}


def add_trial(
    study: optuna.Study,
    *,
    config: TrainingConfig | None = None,
    source: str | None = None,
    outcome: Outcome | None = Outcome.COMPLETE,
) -> None:
    config = config or TrainingConfig()
    trial = study.ask()
    identity = IDENTIFY(config)
    attributes = entry_attributes(config, identity, None, started=0.0) | ({} if source is None else {"source": source})
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    if outcome is not None:
        trial.set_user_attr("outcome", outcome.value)
        study.tell(trial, 0.5)


NAME = study_name("tiny", DEFINITION)


def test_the_first_start_notes_what_the_study_is(start: Start) -> None:
    study = start(metric=Metric(name="val_loss", goal="minimize"), sources={"nets:Tiny": code("1")})

    read = read_study(start.folder)

    assert (study.study_name, read.study_name) == (NAME, NAME)
    assert read.direction is optuna.study.StudyDirection.MINIMIZE
    assert json.loads(read.user_attrs["definition"]) == DEFINITION
    assert (read.user_attrs["metric"], read.user_attrs["sources"]) == ("val_loss", {"nets:Tiny": {"nets.py": "1"}})
    assert read.user_attrs["first_number"] == 0
    assert read.user_attrs["opened"] > 1e9


def test_the_next_start_changes_nothing_but_when_it_was_opened(start: Start) -> None:
    add_trial(start())
    before = read_study(start.folder).user_attrs

    study = start(recorded=[RecordedTrial(study=NAME, trial=0)])

    assert (study.study_name, len(study.trials)) == (NAME, 1)
    after = study.user_attrs
    assert after.pop("opened") > before.pop("opened")
    assert after == before


def test_with_new_and_an_unchanged_file_it_resumes(start: Start) -> None:
    assert start(new=False).study_name == start(new=True).study_name == NAME


def test_another_definition_is_refused_key_by_key(start: Start) -> None:
    start()

    with pytest.raises(StudyChangedError) as refused:
        start({"base.epochs": 3, "base.seed": 1})

    assert str(refused.value).splitlines() == [
        "sweep 'tiny' was started with another space, base or metric:",
        "  base.epochs: was 2, is 3",
        "  base.seed: was null, is 1",
        '  method: was "random", is null',
        "Undo the change, change `name` in the file, or start a new study under this name with --new.",
    ]
    assert len(optuna.get_all_study_names(start.folder.open_study_storage())) == 1


SPACE = {"base.epochs": 2, "parameters.optimizer.weight_decay": {"values": [0, 0.1]}, "metric.name": "val_accuracy"}


@pytest.mark.parametrize(
    "same",
    [
        {"parameters.optimizer.weight_decay": {"values": [0.0, "0.1"]}},
        {"parameters.optimizer.weight_decay": {"values": [0, 0.1], "distribution": "categorical", "when": {}}},
        {"base.schedule.name": "constant", "base.optimizer.momentum": 0, "base.seed": 0, "base.data.train_size": None},
        {"base.epochs": 2.0},
    ],
)
def test_what_searches_the_same_is_resumed_under_the_name_that_it_has(start: Start, same: dict[str, Any]) -> None:
    add_trial(start(SPACE))

    study = start({**SPACE, **same})

    assert (study.study_name, len(study.trials)) == (study_name("tiny", SPACE), 1)


def test_a_wider_space_says_what_is_added_and_which_trials_stay(start: Start) -> None:
    space = {**SPACE, "parameters.optimizer.lr": {"min": 0.01, "max": 0.1}}
    study = start(space)
    for lr, decay in ((0.05, 0.0), (0.02, 0.1)):
        add_trial(
            study,
            config=TrainingConfig.model_validate({"epochs": 2, "optimizer": {"lr": lr, "weight_decay": decay}}),
        )
    wider = {
        "parameters.optimizer.weight_decay": {"values": [0, 0.2]},
        "parameters.optimizer.lr": {"min": 0.001, "max": 0.1},
    }

    with pytest.raises(StudyChangedError) as refused:
        start({**space, **wider})

    assert str(refused.value).splitlines()[1:] == [
        "  parameters.optimizer.lr: was 0.01 to 0.1, is 0.001 to 0.1",
        "  parameters.optimizer.weight_decay: 0.2 added and 0.1 removed",
        "  2 trials of the earlier study stay in the record: 1 of them in the new space, of which the complete ones "
        "are reused",
        "Undo the change, change `name` in the file, or start a new study under this name with --new.",
    ]


def test_new_notes_that_it_has_no_effect_if_nothing_has_changed(start: Start) -> None:
    notes: list[str] = []
    for definition in (SPACE, SPACE, {**SPACE, "base.epochs": 3}):
        open_study(
            start.folder,
            definition=definition,
            metric=Metric(),
            pruner=optuna.pruners.NopPruner(),
            new=True,
            echo=notes.append,
        )

    assert len(notes) == 1
    assert notes[0].startswith("--new had no effect: tiny has the same space")
    assert "sweeps rm tiny" in notes[0]


def test_with_new_another_definition_is_another_study_whose_numbers_go_on(start: Start) -> None:
    for _ in range(3):
        add_trial(start())

    other = start({"base.epochs": 3}, new=True)
    add_trial(other)
    third = start({"base.epochs": 4}, new=True)

    assert other.study_name == study_name("tiny", {"base.epochs": 3})
    assert (other.user_attrs["first_number"], third.user_attrs["first_number"]) == (3, 4)


def test_the_difference_is_told_to_the_study_that_was_run_last(start: Start) -> None:
    start()
    start({"base.epochs": 3}, new=True)

    with pytest.raises(StudyChangedError, match=r"base\.epochs: was 3, is 4"):
        start({"base.epochs": 4})

    start()
    with pytest.raises(StudyChangedError, match=r"base\.epochs: was 2, is 4"):
        start({"base.epochs": 4})


def test_back_at_an_earlier_definition_its_study_goes_on_unasked(start: Start) -> None:
    add_trial(start())
    start({"base.epochs": 3}, new=True)

    study = start()

    assert (study.study_name, len(study.trials)) == (NAME, 1)
    assert read_study(start.folder).study_name == NAME


class TestAnEditedNetwork:
    def test_it_is_refused_where_trials_were_trained_and_the_files_are_named(self, start: Start) -> None:
        before = code("1") | {"blocks.py": "5"}
        add_trial(start(sources={"nets:Tiny": before, "nets:Same": code("7")}), config=OWN)

        with pytest.raises(StudyChangedError) as refused:
            start(sources={"nets:Tiny": before | {"blocks.py": "6"}, "nets:Same": code("7"), "nets:More": code("9")})

        assert str(refused.value).splitlines()[1:-1] == ["  nets:Tiny: blocks.py has changed"]
        assert "/code" in str(refused.value)

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, None], ids=["failed", "begun"])
    def test_code_fixed_before_any_result_continues_the_same_study(self, start: Start, outcome: Outcome | None) -> None:
        add_trial(start(sources={"nets:Tiny": code("1")}), config=OWN, outcome=outcome)

        study = start(sources={"nets:Tiny": code("2")})

        assert (study.study_name, study.user_attrs["sources"]) == (NAME, {"nets:Tiny": {"nets.py": "2"}})

    def test_trials_of_other_networks_do_not_prevent_a_fix(self, start: Start) -> None:
        add_trial(start(sources={"nets:Tiny": code("1")}))

        assert start(sources={"nets:Tiny": code("2")}).study_name == NAME

    def test_a_file_that_its_trials_name_is_part_of_it(self, start: Start) -> None:
        model = {"name": "torchvision_vgg16", "weights": "w.pt"}
        add_trial(start(sources={"w.pt": {"w.pt": "1"}}), config=TrainingConfig.model_validate({"model": model}))

        with pytest.raises(StudyChangedError, match=r"w\.pt has changed"):
            start(sources={"w.pt": {"w.pt": "2"}})

    def test_with_new_the_next_study_goes_on_with_the_numbers(self, start: Start) -> None:
        add_trial(start(sources={"nets:Tiny": code("1")}))

        second = start(sources={"nets:Tiny": code("2")}, new=True)
        add_trial(second)
        third = start(sources={"nets:Tiny": code("3")}, new=True)

        assert [second.study_name, third.study_name] == [f"{NAME}.2", f"{NAME}.3"]
        assert (second.user_attrs["first_number"], third.user_attrs["first_number"]) == (1, 2)
        assert start(sources={"nets:Tiny": code("3")}).study_name == f"{NAME}.3"


class TestALostFolder:
    def test_what_was_recorded_of_it_is_another_study(self, start: Start) -> None:
        recorded = [RecordedTrial(study=NAME, trial=4), RecordedTrial(study=f"{NAME}.2", trial=7)]

        study = start(recorded=recorded)

        assert (study.study_name, study.user_attrs["first_number"]) == (f"{NAME}.3", 8)

    def test_the_runs_of_other_definitions_count_for_the_numbers_only(self, start: Start) -> None:
        study = start(recorded=[RecordedTrial(study="tiny-00000000", trial=4)])

        assert (study.study_name, study.user_attrs["first_number"]) == (NAME, 5)


class TestReading:
    def test_a_sweep_that_was_never_run_is_named(self, start: Start) -> None:
        with pytest.raises(
            NoSuchSweepError,
            match=r"no sweep 'tiny': the runs folder .*/runs (has no sweeps|does not exist)\. Change to",
        ):
            read_study(start.folder)

    def test_one_that_has_begun_nothing_says_so(self, start: Start) -> None:
        start.folder.journal.touch()

        with pytest.raises(NoSuchSweepError, match="sweep 'tiny' has no trials yet"):
            read_study(start.folder)

    def test_a_whole_journal_has_no_damage(self, start: Start) -> None:
        start()

        studies = read_studies(start.folder)

        assert (studies.search.study_name, studies.replicates, studies.damage) == (NAME, None, None)

    def test_repeats_and_what_was_tried_again_are_no_records(self, start: Start) -> None:
        study = start()
        for rate in (0.1, 0.2, 0.1):
            add_trial(study, config=TrainingConfig.model_validate({"optimizer": {"lr": rate}}))
        repeat = study.ask()
        repeat.set_user_attr("key", "k")
        repeat.set_user_attr("duplicate_of", 0)
        study.ask()  # one whose driver died before it noted what it is

        found = list(read_records(study, sweep="tiny"))

        assert [(record.number, record.config.optimizer.lr) for record in found] == [(1, 0.2), (2, 0.1)]
        assert {(record.sweep, record.study) for record in found} == {("tiny", NAME)}
