"""Conditions in a search: what they refuse, what they measure, and what the sampler receives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sweep_fakes import book, epoch, key_of, next_trial, tiny

from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.driver.estimate import preview, some_combinations, trial_count
from sweeps.files.sweep import SweepSpec
from sweeps.search.best import best_first
from sweeps.search.draws import allowed_share
from sweeps.search.ledger import EXHAUSTED, Ledger
from sweeps.search.opening import read_study
from sweeps.search.proposers import (
    REPEATS_BEFORE_GIVING_UP,
    REPEATS_BEFORE_LISTING,
    Proposer,
    SamplerProposer,
    proposer_of,
)
from sweeps.search.stored_trials import read_records
from sweeps.store.folder import SweepFolder

optuna.logging.set_verbosity(optuna.logging.ERROR)
LR = {"optimizer.lr": {"min": 0.001, "max": 0.3}}


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(tiny(**changes))


def rates(proposer: Proposer, study: optuna.Study, count: int) -> list[float]:
    """Ask for `count` trials and end them; return their learning rates."""
    found = []
    for _ in range(count):
        proposal = proposer.ask(study, repeats=0)
        assert proposal is not None
        proposal.trial.set_user_attr("key", key_of(proposal.config))
        study.tell(proposal.trial, proposal.config.optimizer.lr)
        found.append(proposal.config.optimizer.lr)
    return found


@pytest.mark.parametrize("method", ["bayes", "random"])
def test_a_refused_proposal_is_no_trial_and_tells_the_sampler_how_far(method: str) -> None:
    search = spec(method=method, parameters=LR, run_cap=20, where=["optimizer.lr <= 0.1"])
    study = optuna.create_study(direction="maximize")

    found = rates(proposer_of(search), study, 20)
    refused = [trial for trial in study.trials if "key" not in trial.user_attrs]

    assert max(found) <= 0.1
    assert refused
    for trial in refused:
        assert trial.state is TrialState.PRUNED
        assert trial.constraints == {"where[0]": pytest.approx(1 - 0.1 / trial.params["optimizer.lr"])}


def test_tpe_learns_to_avoid_what_is_refused() -> None:
    search = spec(method="bayes", parameters=LR, run_cap=40, where=["optimizer.lr <= 0.03"])
    study = optuna.create_study(direction="maximize")

    rates(proposer_of(search), study, 30)
    refused = [trial.number for trial in study.trials if "key" not in trial.user_attrs]

    # Of independent draws one in ten is allowed: 30 would need 300.
    assert len(refused) < 60


def test_a_reopened_search_with_refusals_proposes_the_same() -> None:
    search = spec(method="bayes", parameters=LR, run_cap=20, where=["optimizer.lr <= 0.1"])
    whole, halved = optuna.create_study(direction="maximize"), optuna.create_study(direction="maximize")

    uninterrupted = rates(proposer_of(search), whole, 16)
    reopened = rates(proposer_of(search), halved, 12) + rates(proposer_of(search), halved, 4)

    assert reopened == uninterrupted


def test_a_search_that_is_always_refused_ends() -> None:
    space = spec(parameters=LR, where=["optimizer.lr <= 0.0001"]).space
    study = optuna.create_study()

    assert SamplerProposer(space, method="random", seed=0).ask(study, repeats=0) is None
    assert len(study.trials) == REPEATS_BEFORE_GIVING_UP


def test_a_finite_space_finds_the_one_combination_that_is_allowed() -> None:
    values = {f"optimizer.{name}": {"values": [n / 100 for n in range(1, 21)]} for name in ("lr", "momentum")}
    search = spec(method="random", parameters=values, where=["optimizer.lr == 0.2 and optimizer.momentum == 0.2"])
    study = optuna.create_study()
    proposer = proposer_of(search)

    assert rates(proposer, study, 1) == [0.2]
    assert proposer.total() == 1
    assert proposer.ask(study, repeats=REPEATS_BEFORE_LISTING) is None


def test_a_grid_leaves_refused_combinations_out(runs: Path) -> None:
    four = {"optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.05]}}
    search = spec(method="grid", run_cap=None, parameters=four, where=["optimizer.lr < 0.03"])
    study = optuna.create_study()
    proposer = proposer_of(search)

    assert proposer.total() == trial_count(search) == 2
    assert rates(proposer, study, 2) == [0.01, 0.02]
    assert proposer.ask(study, repeats=0) is None
    assert len(some_combinations(search)) == 2


def test_an_impossible_condition_is_an_error_that_names_it() -> None:
    search = spec(parameters=LR, run_cap=4, where=["optimizer.lr <= 0.2", "optimizer.lr > 1"])

    with pytest.raises(SweepError, match=r"of 200 random configurations: .*where\[1\] 'optimizer.lr > 1' refuses 200"):
        preview(search)
    with pytest.raises(SweepError, match="of 1 combinations"):
        allowed_share(spec(parameters={"optimizer.lr": {"values": [0.1]}}, where=["optimizer.lr > 1"]).space, seed=0)


def test_a_plan_says_how_much_of_the_space_is_allowed() -> None:
    share = allowed_share(spec(parameters=LR, where=["optimizer.lr <= 0.15"]).space, seed=0)

    assert share.sentence.startswith("where allows about ")
    assert 0.4 < share.allowed / share.configurations < 0.6
    values = {"optimizer.lr": {"values": [0.1, 0.2, 0.3]}}
    assert allowed_share(spec(parameters=values, where=["optimizer.lr < 0.3"]).space, seed=0).sentence == (
        "where allows 2 of 3 combinations"
    )


class TestMeasured:
    LOSS = ("train_loss < 1.5",)

    def open(self, runs: Path, **options: Any) -> Ledger:
        a_book = book(runs, method="grid", run_cap=None, parameters={"optimizer.lr": {"values": [0.01, 0.02, 0.03]}})
        conditions = spec(where=list(self.LOSS)).space.conditions
        return a_book.open(conditions=conditions, **options)

    def train(self, ledger: Ledger, *, accuracy: float, loss: float) -> TrialRecord:
        record = next_trial(ledger)
        measured = epoch(1, accuracy)
        measured = type(measured)(**{**vars(measured), "metrics": {**measured.metrics, "train_loss": loss}})
        ledger.receive(record.number, TrialMessage(epoch=measured, outcome=Outcome.COMPLETE))
        return next(each for each in ledger.records if each.number == record.number)

    def test_a_violating_trial_is_ranked_last_and_constrains_the_sampler(self, runs: Path) -> None:
        ledger = self.open(runs)
        good, bad = self.train(ledger, accuracy=0.5, loss=1.0), self.train(ledger, accuracy=0.9, loss=2.0)

        assert (good.violated, bad.violated) == ({}, {"train_loss < 1.5": 0.25})
        assert best_first(ledger.records, metric="val_accuracy", maximize=True) == [good, bad]
        study = read_study(SweepFolder(runs, good.sweep))
        assert [trial.constraints for trial in study.trials] == [{}, {"train_loss < 1.5": 0.25}]
        assert [record.violated for record in read_records(study, sweep=good.sweep)] == [good.violated, bad.violated]

    def test_a_violating_epoch_does_not_reach_the_target(self, runs: Path) -> None:
        ledger = self.open(runs, target_value=0.6)

        self.train(ledger, accuracy=0.9, loss=2.0)
        assert ledger.reached is None
        self.train(ledger, accuracy=0.7, loss=1.0)
        assert ledger.reached is not None
        assert ledger.next_trial() is EXHAUSTED

    def test_a_training_without_the_number_fails_with_its_name(self, runs: Path) -> None:
        ledger = self.open(runs)
        record = next_trial(ledger)
        incomplete = epoch(1, 0.5)
        incomplete = type(incomplete)(**{**vars(incomplete), "metrics": {"val_accuracy": 0.5}})

        ledger.receive(record.number, TrialMessage(epoch=incomplete))

        [failed] = ledger.records
        assert failed.error is not None
        assert failed.error.startswith("the training yields no train_loss")
        assert "where[0]" in failed.error
