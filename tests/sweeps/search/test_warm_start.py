"""Configurations of other sweeps that a search tries first: the best and most different ones inside its space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sweep_fakes import Book, Cli, book, epoch, next_trial, tiny, write_yaml, written

from sweeps.core.errors import NoSuchSweepError
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.driver.estimate import preview
from sweeps.driver.plan import warm_start_of
from sweeps.files.sweep import SweepSpec
from sweeps.search.opening import read_study
from sweeps.search.proposers import proposer_of
from sweeps.search.stored_trials import read_records
from sweeps.search.warm_start import WARM_START, WarmStart, choose, stored_warm_start, warm_curves
from sweeps.store.folder import SweepFolder

RATES = (0.01, 0.02, 0.05, 0.06, 0.1)
LR = {"optimizer.lr": {"min": 0.01, "max": 0.1, "distribution": "log_uniform_values"}}


def recorded(runs: Path, values: dict[float, float], *, name: str = "other", **changes: Any) -> Book:
    """Record a search with a complete trial of two epochs per learning rate and its final accuracy."""
    starts = [{"optimizer.lr": rate} for rate in values]
    search = book(
        runs,
        name=name,
        run_cap=len(values),
        start_with=starts,
        parameters={"optimizer.lr": {"values": [*values]}},
        **changes,
    )
    ledger = search.open()
    for accuracy in values.values():
        number = next_trial(ledger).number
        ledger.receive(number, TrialMessage(epoch=epoch(1, accuracy / 2)))
        ledger.receive(number, TrialMessage(epoch=epoch(2, accuracy), outcome=Outcome.COMPLETE))
    return search


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(tiny(warm_start=["other"], run_cap=9, parameters=LR) | changes)


def chosen(runs: Path, **changes: Any) -> WarmStart:
    choice = warm_start_of(spec(**changes))
    assert choice is not None
    return choice(runs)


def rates(warm: WarmStart) -> list[float]:
    return [start.assignment["optimizer.lr"] for start in warm.starts]


ACCURACIES = dict(zip(RATES, (0.4, 0.5, 0.79, 0.8, 0.6), strict=True))


def test_the_best_configuration_is_first_and_a_different_one_follows(runs: Path) -> None:
    recorded(runs, ACCURACIES)

    warm = chosen(runs)

    assert rates(warm) == [0.06, 0.02]
    assert [start.run for start in warm.starts] == ["other-003", "other-001"]


def test_a_fifth_of_the_trials_comes_from_other_sweeps(runs: Path) -> None:
    recorded(runs, ACCURACIES)

    assert len(chosen(runs, run_cap=20).starts) == 4
    assert len(chosen(runs, run_cap=100).starts) == len(RATES)


def test_a_minimised_metric_ranks_the_smallest_first(runs: Path) -> None:
    recorded(runs, ACCURACIES)

    warm = choose(["other"], runs=runs, space=spec().space, metric="val_accuracy", maximize=False, run_cap=9)

    assert rates(warm)[0] == 0.01


def test_configurations_outside_the_space_are_left_out_with_their_parameter(runs: Path) -> None:
    recorded(runs, ACCURACIES)

    warm = chosen(runs, parameters={"optimizer.lr": {"min": 0.02, "max": 0.05}})

    assert sorted(rates(warm)) == [0.02, 0.05]
    assert warm.outside == {"optimizer.lr": 3}
    assert "of 5 complete configurations; 3 lie outside the space: optimizer.lr (3)" in warm.sentence()


def test_a_fixed_value_there_is_the_value_of_a_parameter_here(runs: Path) -> None:
    recorded(runs, {0.02: 0.5})

    warm = chosen(runs, parameters=LR | {"data.batch_size": {"values": [32, 64]}})

    assert warm.starts[0].assignment == {"optimizer.lr": 0.02, "data.batch_size": 32}


def test_a_field_that_the_other_network_does_not_use_is_drawn(runs: Path) -> None:
    recorded(runs, {0.02: 0.5})

    gamma = {"schedule.gamma": {"min": 0.3, "max": 0.5}}
    base = tiny()["base"] | {"schedule": {"name": "step"}}
    search = spec(parameters=LR | gamma, base=base)
    warm = chosen(runs, parameters=LR | gamma, base=base)

    assert warm.starts[0].assignment == {"optimizer.lr": 0.02}
    first = preview(search, warm_start=warm)[0]
    assert first.optimizer.lr == 0.02
    assert 0.3 <= first.schedule.gamma <= 0.5


def test_configurations_that_violate_a_condition_are_left_out(runs: Path) -> None:
    recorded(runs, {0.02: 0.5, 0.05: 0.4})

    warm = chosen(runs, where=["optimizer.lr > 0.03"])

    assert rates(warm) == [0.05]
    assert warm.outside == {"a condition of where": 1}


def test_incomplete_trials_are_not_taken(runs: Path) -> None:
    search = book(runs, name="other", run_cap=1)
    ledger = search.open()
    ledger.receive(next_trial(ledger).number, TrialMessage(epoch=epoch(1, 0.9)))

    warm = chosen(runs)

    assert warm.starts == ()
    assert "no complete configurations yet" in warm.sentence()


def test_the_first_start_of_each_sweep_can_be_taken(runs: Path) -> None:
    recorded(runs, {0.01: 0.5, 0.011: 0.4})
    recorded(runs, {0.1: 0.7, 0.09: 0.6}, name="third")

    assert rates(chosen(runs, warm_start=["other", "third"])) == [0.01, 0.1]


def test_equal_configurations_of_two_sweeps_are_tried_once(runs: Path) -> None:
    recorded(runs, {0.02: 0.5})
    recorded(runs, {0.02: 0.5}, name="third")

    assert rates(chosen(runs, warm_start=["other", "third"])) == [0.02]


def test_start_with_and_then_the_warm_start_are_proposed_first(runs: Path) -> None:
    recorded(runs, ACCURACIES)
    search = spec(start_with=[{"optimizer.lr": 0.03}])

    found = [config.optimizer.lr for config in preview(search, warm_start=chosen(runs))]

    assert found[:3] == [0.03, 0.06, 0.02]
    assert len(set(found)) == 9


def test_a_prior_is_tried_before_the_warm_start(runs: Path) -> None:
    recorded(runs, ACCURACIES)
    search = spec(parameters={"optimizer.lr": LR["optimizer.lr"] | {"prior": 0.03}})

    found = [config.optimizer.lr for config in preview(search, warm_start=chosen(runs))]

    assert found[:3] == [0.03, 0.06, 0.02]


def test_a_resumed_search_keeps_its_choice_although_the_other_grew(runs: Path) -> None:
    recorded(runs, ACCURACIES)
    search = book(runs, warm_start=["other"], run_cap=9, parameters=LR)
    study = search.study()
    study.set_user_attr(WARM_START, chosen(runs).stored)
    first = proposer_of(search.spec).ask(study, repeats=0)
    assert first is not None
    first.trial.set_user_attr("key", "0")

    again = search.study()
    second = proposer_of(search.spec).ask(again, repeats=0)

    assert second is not None
    assert stored_warm_start(again) == chosen_like(runs, again)
    assert [first.config.dotted()["optimizer.lr"], second.config.dotted()["optimizer.lr"]] == [0.06, 0.02]


def chosen_like(runs: Path, study: Any) -> WarmStart:
    """Return the choice of now with the time of the stored one."""
    from dataclasses import replace

    stored = stored_warm_start(study)
    assert stored is not None
    return replace(chosen(runs), at=stored.at)


def test_curves_of_other_sweeps_are_those_at_the_first_start(runs: Path) -> None:
    other = recorded(runs, ACCURACIES)
    search = book(runs, warm_start=["other"], run_cap=9, parameters=LR | {"data.batch_size": {"values": [32]}})
    study = search.study()
    records = list(read_records(read_study(other.folder), sweep="other"))
    at = records[0].epochs[1].finished_at
    study.set_user_attr(WARM_START, chosen(runs).stored | {"at": at - 0.5})

    curves = warm_curves(study, runs=runs, space=search.spec.space)

    assert [curve.values for curve in curves] == [(accuracy / 2,) for accuracy in ACCURACIES.values()]
    assert curves[0].assignment == {"optimizer.lr": 0.01, "data.batch_size": 32}
    study.set_user_attr(WARM_START, chosen(runs).stored | {"at": at})
    assert warm_curves(study, runs=runs, space=search.spec.space)[0].values == (0.2, 0.4)


def test_an_unknown_sweep_is_refused_with_near_names(runs: Path) -> None:
    recorded(runs, ACCURACIES)

    with pytest.raises(NoSuchSweepError, match=r"no sweep 'othr'.*Did you mean other\?"):
        chosen(runs, warm_start=["othr"])


def test_a_sweep_cannot_warm_start_from_itself() -> None:
    with pytest.raises(ValidationError, match="warm_start: tiny is this sweep itself"):
        spec(warm_start=["tiny"])


def test_a_warm_start_changes_no_stored_definition() -> None:
    assert spec().definition() == spec(warm_start=[]).definition()


def test_a_warm_start_of_a_grid_is_reported_as_without_effect() -> None:
    grid = spec(method="grid", parameters={"optimizer.lr": {"values": [0.1]}})

    assert "warm_start: has no effect in a grid" in "".join(grid.warnings())
    assert warm_start_of(grid) is None


@pytest.mark.usefixtures("instant_training")
def test_results_of_other_sweeps_are_reused_and_counted_once(tmp_path: Path, cli: Cli) -> None:
    runs = tmp_path / "runs"
    options = ("--backend", "inline", "--runs", runs)
    first = write_yaml(tmp_path, tiny(name="other", run_cap=4, method="grid"), name="other.yaml")
    assert cli("run", first, *options).exit_code == 0
    file = write_yaml(tmp_path, tiny(warm_start=["other"], run_cap=3, parameters=LR))

    planned = cli("plan", file, "--runs", runs, "--no-probe")
    done = cli("run", file, *options)
    again = cli("run", file, *options)

    assert "warm start from other: other-0" in planned.output
    assert done.exit_code == again.exit_code == 0
    assert "trained 1" in done.output, "two of three were recorded under the same key"
    assert "warm start from other" in done.output
    assert "Nothing to train" in again.output
    assert len(list(read_records(read_study(SweepFolder(runs, "tiny")), sweep="tiny"))) == 3
    assert sum("reused_from" in run.tags for run in written(runs)) == 2


@pytest.mark.usefixtures("instant_training")
def test_an_unknown_sweep_ends_a_run_before_it_begins(tmp_path: Path, cli: Cli) -> None:
    runs = tmp_path / "runs"
    file = write_yaml(tmp_path, tiny(warm_start=["other"], parameters=LR))

    results = [cli("run", file, "--backend", "inline", "--runs", runs), cli("plan", file, "--runs", runs)]

    assert [result.exit_code for result in results] == [2, 2]
    assert all("no sweep 'other'" in result.output for result in results)
    assert not SweepFolder(runs, "tiny").journal.exists()


@pytest.mark.usefixtures("instant_training")
def test_rungs_of_a_ladder_without_validation_images_are_taken(tmp_path: Path, cli: Cli) -> None:
    runs = tmp_path / "runs"
    ladder = {
        "name": "steps",
        "base": {"epochs": 2, "model": {"width": 4}, "data": {"train_size": 300, "validation_size": 0}},
        "rungs": [
            {"name": "first", "optimizer": {"lr": 0.02}},
            {"name": "second", "optimizer": {"lr": 0.05}},
            {"name": "third", "optimizer": {"lr": 0.5}},
        ],
    }
    done = cli("ladder", write_yaml(tmp_path, ladder, name="steps.yaml"), "--backend", "inline", "--runs", runs)
    assert done.exit_code == 0, done.output

    warm = chosen(runs, warm_start=["steps"])

    assert [start.run for start in warm.starts] == ["steps/second", "steps/first"]
    assert warm.outside == {"optimizer.lr": 1}
