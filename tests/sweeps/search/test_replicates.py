"""Replicates: the confirmed configurations, their runs, and their study without a sampler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from sweep_fakes import book, epoch, key_of, next_trial

from cifar_core.config import LAST_SEED, TrainingConfig
from sweeps.core.errors import NoSuchSweepError, SweepError
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.files.settings import Metric, Replicates
from sweeps.search.opening import open_replicates, open_study, read_studies, read_study
from sweeps.search.proposers import Candidate, ListProposer
from sweeps.search.replicates import candidates_to_confirm, replicates_of
from sweeps.store.folder import SweepFolder


def trial(number: int, *accuracies: float, outcome: Outcome = Outcome.COMPLETE, **changes: Any) -> TrialRecord:
    config = TrainingConfig.model_validate({"epochs": 3, "seed": 5, "optimizer": {"lr": 0.1 + number}})
    record = TrialRecord(
        sweep="tiny", study="tiny", number=number, key=f"k{number}", config_id=f"c{number}", config=config,
        outcome=outcome, epochs=tuple(epoch(at, accuracy) for at, accuracy in enumerate(accuracies, start=1)),
        started=1000.0,
    )  # fmt: skip
    return replace(record, **changes)


def pruned(number: int, *accuracies: float) -> TrialRecord:
    return trial(number, *accuracies, outcome=Outcome.PRUNED)


def only(candidate: Candidate) -> ListProposer:
    return ListProposer([candidate], key_of=key_of)


def chosen(*records: TrialRecord, top: int = 9, metric: Metric | None = None) -> list[int]:
    return [record.number for record in candidates_to_confirm(records, metric=metric or Metric(), top=top)]


class TestCandidatesToConfirm:
    def test_the_complete_trials_by_their_last_epoch(self) -> None:
        records = (trial(0, 0.9, 0.5, 0.5), trial(1, 0.1, 0.2, 0.7), trial(2, 0.1, 0.2, 0.6))

        assert chosen(*records) == [1, 2, 0]
        assert chosen(*records, top=2) == [1, 2]
        assert chosen(*records, metric=Metric(name="val_loss", goal="minimize")) == [1, 2, 0]

    def test_a_pruned_one_as_good_as_the_best_comes_second(self) -> None:
        best, second = trial(0, 0.3, 0.5, 0.7), trial(1, 0.2, 0.4, 0.6)

        assert chosen(best, second, pruned(2, 0.2, 0.5), pruned(3, 0.2, 0.49), pruned(4, 0.31)) == [0, 2, 4, 1, 3]

    def test_where_nothing_is_complete_the_furthest_come_first_and_then_the_best(self) -> None:
        assert chosen(pruned(0, 0.6), pruned(1, 0.1, 0.2), pruned(2, 0.7)) == [1, 2, 0]

    def test_diverged_failed_and_unfinished_trials_are_not_confirmed(self) -> None:
        outcomes = (Outcome.DIVERGED, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.RUNNING)
        assert chosen(*(trial(index, 0.9, outcome=outcome) for index, outcome in enumerate(outcomes))) == []
        assert chosen(trial(0, outcome=Outcome.PRUNED)) == []

    def test_a_configuration_with_several_seeds_is_ranked_once_by_their_mean(self) -> None:
        def of(number: int, config_id: str, *accuracies: float, **changes: Any) -> TrialRecord:
            return trial(number, *accuracies, config_id=config_id, **changes)

        a, b = of(0, "a", 0.9), of(1, "b", 0.6)
        records = (a, b, of(2, "a", 0.1), of(3, "b", 0.5), of(4, "a", 0.2, outcome=Outcome.PRUNED), pruned(5, 0.1))

        assert chosen(*records) == [1, 0, 5]
        assert chosen(*records, top=2) == [1, 0]
        stopped = (of(6, "c", 0.2, outcome=Outcome.PRUNED), of(7, "c", 0.2, 0.3, outcome=Outcome.PRUNED))
        assert chosen(*stopped) == [7]


class TestReplicates:
    def test_their_seeds_are_above_all_that_the_search_may_use(self) -> None:
        found = replicates_of([trial(0, 0.5), trial(1, 0.4)], Replicates(top=2, seeds=2), used_seeds=[0, 8, 3])

        assert [(each.replicate_of, each.config.seed) for each in found] == [(0, 9), (1, 9), (0, 10), (1, 10)]

    def test_seeds_past_the_largest_one_are_refused(self) -> None:
        late = trial(0, 0.5)
        late = replace(late, config=late.config.model_copy(update={"seed": LAST_SEED - 1}))

        assert [each.config.seed for each in replicates_of([late], Replicates(top=1, seeds=1))] == [LAST_SEED]
        with pytest.raises(SweepError, match=str(LAST_SEED)):
            replicates_of([late], Replicates(top=1, seeds=2))

    def test_each_configuration_has_the_same_new_seeds_one_after_the_other(self) -> None:
        found = replicates_of([trial(3, 0.5), trial(1, 0.4)], Replicates(top=2, seeds=2))

        assert [(each.replicate_of, each.config.seed) for each in found] == [(3, 6), (1, 6), (3, 7), (1, 7)]
        assert [each.config.optimizer.lr for each in found] == [3.1, 1.1, 3.1, 1.1]
        assert {each.rung for each in found} == {None}

    def test_a_pruned_one_is_first_trained_fully_under_its_seed(self) -> None:
        found = replicates_of([trial(0, 0.5), pruned(1, 0.6)], Replicates(top=2, seeds=1))

        assert [(each.replicate_of, each.config.seed, each.config.epochs) for each in found] == [
            (1, 5, 3), (0, 6, 3), (1, 6, 3),
        ]  # fmt: skip

    def test_a_replicate_is_named_by_its_trial_and_seed(self) -> None:
        record = trial(0, 0.5, first_number=20, replicate_of=7)

        assert (record.trial, record.name) == (7, "trial 7, seed 5")
        assert (trial(4, first_number=20).trial, trial(4, first_number=20).name) == (24, "trial 24")


class TestStudyOfReplicates:
    def test_it_is_in_the_same_journal_and_not_a_search(self, runs: Path) -> None:
        tiny = book(runs, metric={"name": "val_loss", "goal": "minimize"})
        search = tiny.study()

        study = open_replicates(tiny.folder)

        assert study.study_name == f"{search.study_name}.replicates"
        assert study.direction is optuna.study.StudyDirection.MINIMIZE
        assert open_replicates(tiny.folder).study_name == study.study_name
        assert read_study(tiny.folder).study_name == search.study_name
        assert tiny.study().study_name == search.study_name
        read = read_studies(tiny.folder).replicates
        assert read is not None
        assert (read.study_name, read.user_attrs["metric"]) == (study.study_name, "val_loss")

    def test_none_of_its_trials_is_pruned(self, runs: Path) -> None:
        tiny = book(runs)
        tiny.study()

        assert isinstance(open_replicates(tiny.folder).pruner, optuna.pruners.NopPruner)

    def test_without_a_search_there_is_nothing_to_confirm(self, runs: Path) -> None:
        with pytest.raises(NoSuchSweepError):
            open_replicates(SweepFolder(runs, "tiny"))

    def test_a_search_without_replicates_has_none(self, runs: Path) -> None:
        tiny = book(runs)

        tiny.study()

        assert read_studies(tiny.folder).replicates is None

    def test_its_trials_do_not_count_for_the_numbers_of_the_next_search(self, runs: Path) -> None:
        tiny = book(runs)
        next_trial(tiny.open())
        study = open_replicates(tiny.folder)
        for _ in range(3):
            study.ask()

        other = open_study(
            tiny.folder, definition={"another": 1}, metric=Metric(), pruner=optuna.pruners.NopPruner(), new=True
        )

        assert other.user_attrs["first_number"] == 1

    def test_the_journal_stores_the_trial_of_a_replicate(self, runs: Path) -> None:
        tiny = book(runs)
        tiny.study()
        record = trial(0, 0.5)
        (candidate,) = replicates_of([record], Replicates(top=1, seeds=1))

        study = open_replicates(tiny.folder)
        ledger = tiny.open(study=study, proposer=only(candidate))
        entered = next_trial(ledger)
        ledger.receive(entered.number, TrialMessage(outcome=Outcome.FAILED, error="x"))

        (found,) = tiny.open(study=study, proposer=only(candidate)).records
        assert (entered.replicate_of, found.replicate_of, found.config.seed) == (0, 0, 6)
        again = next_trial(tiny.open(study=study, proposer=only(candidate), retry_failed=True))
        assert again.replicate_of == 0
