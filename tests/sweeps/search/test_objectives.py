"""A search with several objectives: its file, limits, early stopping, and what is confirmed and kept."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from optuna.trial import TrialState
from pydantic import ValidationError
from sweep_fakes import IDENTIFY, TINY, epoch, key_of, next_trial, tiny

from sweeps.core.front import KnownValue
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.files.settings import Metric
from sweeps.files.sweep import SweepSpec
from sweeps.files.wandb import translated
from sweeps.search.front import front_of
from sweeps.search.ledger import Ledger
from sweeps.search.promotion import Promotion
from sweeps.search.proposers import proposer_of
from sweeps.search.replicates import candidates_to_confirm
from sweeps.search.staircase import STEPS, Staircase
from sweeps.search.stored_trials import KNOWN, read_records
from sweeps.stopping.rules import parse_rule

optuna.logging.set_verbosity(optuna.logging.ERROR)
SIZE = {"name": "parameters_millions", "goal": "minimize"}
METRICS = [{"name": "val_accuracy"}, SIZE]
WIDTHS = {"model.width": {"min": 2, "max": 64}, "optimizer.lr": {"min": 0.001, "max": 0.3}}


def spec(**changes: Any) -> SweepSpec:
    content = {"metric": None, "metrics": METRICS, "parameters": WIDTHS, "method": "bayes", "run_cap": 20} | changes
    return SweepSpec.model_validate(tiny(**content))


class TestFile:
    def test_the_metric_is_the_objective_that_a_training_measures(self) -> None:
        search = spec(metrics=[SIZE, {"name": "val_loss", "target": 0.5}, {"name": "model.width"}])

        assert search.metric == Metric(name="val_loss", goal="minimize", target=0.5)
        assert [(each.name, each.goal) for each in search.known_objectives] == [
            ("parameters_millions", "minimize"),
            ("model.width", "minimize"),
        ]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"metric": {"name": "val_loss"}}, "metric: cannot be combined with metrics"),
            ({"metrics": [{"name": "val_loss"}, {"name": "val_accuracy"}]}, "a search learns one of them"),
            ({"metrics": [SIZE]}, "nothing has to be trained"),
            ({"metrics": [*METRICS, SIZE]}, "parameters_millions is listed twice"),
            ({"metrics": [{"name": "val_accuracy"}, SIZE | {"target": 1}]}, r"metrics\[1\].target"),
            (
                {"metrics": [{"name": "val_accuracy"}, {"name": "epochs"}], "base": {"epochs": 2}},
                "the same for all trials",
            ),
            (
                {
                    "metrics": [{"name": "val_accuracy"}, {"name": "model.name"}],
                    "parameters": {"model.name": {"values": ["simple", "vgg"]}},
                },
                "values that are no numbers",
            ),
        ],
    )
    def test_other_lists_are_errors(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            spec(**changes)

    def test_the_definition_with_one_objective_is_that_of_an_earlier_version(self) -> None:
        alone = spec(metrics=None, metric={"name": "val_accuracy"}).definition()

        assert spec(metrics=[{"name": "val_accuracy"}]).definition() == alone
        assert spec().definition() == alone | {"metrics.parameters_millions": "minimize"}

    def test_the_recorded_file_can_be_read_again(self) -> None:
        again = SweepSpec.model_validate(yaml.safe_load(spec().to_yaml()))

        assert (again.metric, again.metrics) == (spec().metric, spec().metrics)

    def test_a_list_of_wandb_is_translated_with_its_names(self) -> None:
        content = {
            "method": "bayes",
            "metrics": [{"name": "val_acc", "goal": "max"}, SIZE],
            "parameters": {"lr": {"min": 0.001, "max": 0.1}, "width": {"values": [4, 8]}},
        }

        found = translated(content, stem="file")

        assert not found.errors
        assert found.content["metrics"] == [{"name": "val_accuracy", "goal": "maximize"}, SIZE]


class TestLimits:
    def test_the_limits_are_quartiles_and_depend_on_the_file_alone(self) -> None:
        search = spec()
        [steps] = Staircase(search.space, search.known_objectives, seed=0).steps
        [same] = Staircase(search.space, search.known_objectives, seed=0).steps

        assert steps == same == sorted(set(steps))
        assert steps[-1] == float("inf")
        width = [2 + 62 * share for share in (0.25, 0.5, 0.75)]
        sizes = [
            search.space.number("parameters_millions", search.space.config({"model.width": int(w)})) for w in width
        ]
        assert steps[:-1] == pytest.approx(sizes, rel=0.5)

    def test_each_combination_of_limits_comes_once_in_turn(self) -> None:
        search = spec(metrics=[*METRICS, {"name": "model.width", "goal": "maximize"}])
        staircase = Staircase(search.space, search.known_objectives, seed=0)

        limits = [tuple(staircase.limits(number).values()) for number in range(STEPS**2)]

        assert set(limits) == set(itertools.product(*staircase.steps))
        assert all(each <= -2 for each in staircase.steps[1][:-1])  # a limit from below, as a cost

    def test_tpe_stays_below_a_limit_that_it_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        search = spec(run_cap=60)
        limit = search.space.number("parameters_millions", search.space.config({"model.width": 16}))
        assert limit is not None
        widths: dict[bool, list[int]] = {}
        for limited in (True, False):
            steps = [[limit if limited else float("inf")] * STEPS]
            monkeypatch.setattr(Staircase, "steps", steps)
            study, proposer = optuna.create_study(direction="maximize"), proposer_of(search)
            for _ in range(40):
                proposal = proposer.ask(study, repeats=0)
                assert proposal is not None
                proposal.trial.set_user_attr("key", key_of(proposal.config))
                width = proposal.config.model.width
                study.tell(proposal.trial, width / 64)
                widths.setdefault(limited, []).append(width)

        assert np.median(widths[True][20:]) <= 20
        assert np.median(widths[False][20:]) >= 40

    def test_a_reopened_search_proposes_the_same(self) -> None:
        def widths(study: optuna.Study, count: int) -> list[int]:
            proposer, found = proposer_of(spec()), []
            for _ in range(count):
                proposal = proposer.ask(study, repeats=0)
                assert proposal is not None
                proposal.trial.set_user_attr("key", key_of(proposal.config))
                study.tell(proposal.trial, 1 / proposal.config.model.width)
                found.append(proposal.config.model.width)
            return found

        whole, halved = optuna.create_study(direction="maximize"), optuna.create_study(direction="maximize")
        assert widths(halved, 13) + widths(halved, 5) == widths(whole, 18)


def ledger_of(search: SweepSpec, *, study: optuna.Study | None = None) -> Ledger:
    rule = parse_rule(search.early_terminate)
    study = study or optuna.create_study(direction="maximize", pruner=rule.pruner(epochs=3))
    study.set_user_attr("metric", "val_accuracy")
    return Ledger(
        study,
        sweep="s",
        metric="val_accuracy",
        proposer=proposer_of(search),
        run_cap=search.run_cap,
        identify=IDENTIFY,
        pausing=Promotion.of(rule, epochs=3, maximize=True),
    )


FOUR = {"model.width": {"values": [32, 16, 8, 4]}}
GRID = {"method": "grid", "run_cap": None, "parameters": FOUR, "base": TINY["base"] | {"epochs": 3}}


def train(ledger: Ledger, *accuracies: float) -> TrialRecord:
    record = next_trial(ledger)
    for number, accuracy in enumerate(accuracies, start=1):
        outcome = Outcome.COMPLETE if number == 3 else None
        if ledger.receive(record.number, TrialMessage(epoch=epoch(number, accuracy), outcome=outcome)):
            break
    return next(each for each in ledger.records if each.number == record.number)


@pytest.mark.parametrize("mode", ["pause", "stop"])
def test_early_stopping_ends_no_trial_on_the_front(mode: str) -> None:
    rule = {"type": "asha", "mode": mode, "min_epochs": 1, "reduction_factor": 2}
    ledger = ledger_of(spec(**GRID, early_terminate=rule))

    large = train(ledger, 0.6, 0.7, 0.8)
    small_and_good = train(ledger, 0.5, 0.6, 0.7)
    small_and_bad = train(ledger, 0.3, 0.3, 0.3)
    dominated = train(ledger, 0.2, 0.2, 0.2)

    assert [len(each.epochs) for each in (large, small_and_good, small_and_bad, dominated)] == [3, 3, 3, 3]
    assert front_of(ledger.records, metric="val_accuracy", maximize=True) == [
        large,
        small_and_good,
        small_and_bad,
        dominated,
    ]


@pytest.mark.parametrize("mode", ["pause", "stop"])
def test_a_larger_and_worse_trial_is_stopped(mode: str) -> None:
    rule = {"type": "asha", "mode": mode, "min_epochs": 1, "reduction_factor": 2}
    widths = {"model.width": {"values": [4, 32]}}
    ledger = ledger_of(spec(**GRID | {"parameters": widths}, early_terminate=rule))

    train(ledger, 0.6, 0.7, 0.8)

    assert len(train(ledger, 0.5, 0.6, 0.7).epochs) == 1


def test_the_known_objectives_are_stored_with_each_trial() -> None:
    study = optuna.create_study(direction="maximize")
    ledger = ledger_of(spec(**GRID), study=study)
    record = train(ledger, 0.6, 0.7, 0.8)

    size = spec(**GRID).space.number("parameters_millions", record.config)
    assert size is not None
    assert record.known == (KnownValue(name="parameters_millions", goal="minimize", value=size),)
    assert study.trials[0].user_attrs[KNOWN] == [["parameters_millions", "minimize", size]]
    assert [each.known for each in read_records(study, sweep="s")] == [record.known]


def test_a_search_with_one_objective_stores_nothing_more() -> None:
    study = optuna.create_study(direction="maximize")
    record = train(ledger_of(spec(**GRID, metrics=None), study=study), 0.6, 0.7, 0.8)

    assert record.known == ()
    assert KNOWN not in study.trials[0].user_attrs


def test_the_front_is_confirmed_first() -> None:
    ledger = ledger_of(spec(**GRID))
    best, dominated = train(ledger, 0.1, 0.2, 0.9), train(ledger, 0.1, 0.2, 0.5)
    middle, small = train(ledger, 0.1, 0.2, 0.8), train(ledger, 0.1, 0.2, 0.3)

    chosen = candidates_to_confirm(ledger.records, metric=Metric(), top=4)

    assert chosen == [best, middle, small, dominated]


def test_a_violating_trial_is_not_on_the_front() -> None:
    study = optuna.create_study(direction="maximize")
    ledger = ledger_of(spec(**GRID), study=study)
    good = train(ledger, 0.1, 0.2, 0.5)
    bad = train(ledger, 0.1, 0.2, 0.9)
    bad = type(bad)(**{**vars(bad), "violated": {"val_loss < 2": 0.1}})

    assert front_of([good, bad], metric="val_accuracy", maximize=True) == [good]
    assert study.trials[0].state is TrialState.COMPLETE
