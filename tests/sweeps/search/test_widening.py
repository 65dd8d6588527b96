"""A begun search in a wider space: the same trials, none of them recorded twice, whenever its driver fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from sweep_fakes import Book, Cli, book, epoch, next_trial, outcomes, tiny, write_yaml, written

from sweeps.core.errors import StudyChangedError
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.files.sweep import SweepSpec
from sweeps.files.widened import not_wider
from sweeps.search.opening import open_study, read_all_studies, read_studies, read_study
from sweeps.search.stored_trials import DUPLICATE_OF, PAUSED, name_in_record, read_records
from sweeps.upkeep.inventory import take_inventory

RATES = {"optimizer.lr": {"values": [0.01, 0.02]}}
MORE_RATES = {"optimizer.lr": {"values": [0.01, 0.02, 0.05]}}
LOG = {"min": 0.01, "max": 0.1, "distribution": "log_uniform_values"}
NETWORKS = {"model.name": {"values": ["simple", "resnet"]}}


def definition(**changes: Any) -> dict[str, Any]:
    return SweepSpec.model_validate(tiny(run_cap=9, method="bayes") | changes).definition()


def with_base(**base: Any) -> dict[str, Any]:
    return tiny()["base"] | base


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (RATES, MORE_RATES),
        ({"optimizer.lr": {"values": [0.02, 0.01]}}, MORE_RATES),
        ({"optimizer.lr": {"value": 0.01}}, MORE_RATES),
        (RATES, {"optimizer.lr": LOG}),
        ({"optimizer.lr": LOG}, {"optimizer.lr": LOG | {"min": 0.001}}),
        ({"optimizer.lr": LOG}, {"optimizer.lr": LOG | {"min": 0.001, "max": 1}}),
        (RATES, RATES | {"optimizer.momentum": {"min": 0.0, "max": 0.9}}),
        (RATES, RATES | {"data.batch_size": {"values": [32, 64]}}),
        (
            NETWORKS | {"model.width": {"values": [4, 8], "when": {"model.name": ["resnet"]}}},
            NETWORKS | {"model.width": {"values": [4, 8]}},
        ),
        (
            {"data.batch_size": {"min": 16, "max": 64, "q": 16, "distribution": "q_uniform"}},
            {"data.batch_size": {"min": 16, "max": 128, "q": 16, "distribution": "q_uniform"}},
        ),
    ],
)
def test_a_space_that_contains_the_former_one_is_wider(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert not_wider(definition(parameters=before), definition(parameters=after)) == []
    assert not_wider(definition(parameters=after), definition(parameters=before)) != []


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        (RATES, {"optimizer.lr": {"values": [0.01, 0.05]}}, "parameters.optimizer.lr"),
        ({"optimizer.lr": LOG}, {"optimizer.lr": LOG | {"min": 0.02, "max": 1}}, "parameters.optimizer.lr"),
        ({"optimizer.lr": LOG}, {"optimizer.lr": {"min": 0.01, "max": 1}}, "parameters.optimizer.lr"),
        (RATES, RATES | {"optimizer.momentum": {"values": [0.8, 0.9]}}, "parameters.optimizer.momentum"),
        (RATES | NETWORKS, MORE_RATES, "parameters.model.name"),
        (
            NETWORKS | {"model.width": {"values": [4, 8]}},
            NETWORKS | {"model.width": {"values": [4, 8, 16], "when": {"model.name": ["resnet"]}}},
            "parameters.model.width",
        ),
        (
            {"optimizer.lr": {"distribution": "log_normal", "mu": -3, "sigma": 1}},
            {"optimizer.lr": {"distribution": "log_normal", "mu": -3, "sigma": 2}},
            "parameters.optimizer.lr",
        ),
        (
            {"data.batch_size": {"min": 16, "max": 64, "q": 16, "distribution": "q_uniform"}},
            {"data.batch_size": {"min": 8, "max": 64, "q": 16, "distribution": "q_uniform"}},
            "parameters.data.batch_size",
        ),
    ],
)
def test_another_space_is_not_wider(before: dict[str, Any], after: dict[str, Any], key: str) -> None:
    assert not_wider(definition(parameters=before), definition(parameters=after)) == [key]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"base": with_base(epochs=3)}, "base.epochs"),
        ({"metric": {"name": "val_loss", "goal": "minimize"}}, "metric.name"),
    ],
)
def test_another_base_or_metric_is_not_wider(changes: dict[str, Any], key: str) -> None:
    found = not_wider(definition(parameters=RATES), definition(parameters=MORE_RATES, **changes))

    assert key in found
    assert "parameters.optimizer.lr" not in found


def begun(runs: Path, **changes: Any) -> Book:
    """Return a search with a complete, a paused, a diverged and a running trial, and a duplicate."""
    search = book(
        runs,
        **{
            "run_cap": 4,
            "method": "random",
            "base": with_base(epochs=4),
            "early_terminate": {"type": "asha", "min_epochs": 1},
            "parameters": {"optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.05]}},
        }
        | changes,
    )
    ledger = search.open()
    numbers = [next_trial(ledger).number for _ in range(4)]
    ledger.receive(numbers[0], TrialMessage(epoch=epoch(1, 0.9), outcome=Outcome.COMPLETE))
    ledger.receive(numbers[1], TrialMessage(epoch=epoch(1, 0.5)))
    ledger.finish(numbers[2], Outcome.DIVERGED)
    trials = read_study(search.folder).get_trials(deepcopy=False)
    assert any(DUPLICATE_OF in trial.user_attrs for trial in trials)
    assert any(trial.user_attrs.get(PAUSED) for trial in trials)
    return search


WIDER = {"optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.05, 0.1]}, "data.batch_size": {"values": [32, 64]}}


def widened(search: Book, parameters: dict[str, Any] | None = None, *, widen: bool = True) -> optuna.Study:
    content = search.spec.model_dump(mode="json", exclude_unset=True) | {"parameters": parameters or WIDER}
    search.spec = SweepSpec.model_validate(content)
    return open_study(
        search.folder,
        definition=search.spec.definition(),
        metric=search.spec.metric,
        pruner=optuna.pruners.NopPruner(),
        new=False,
        widen=widen,
    )


def content_of(study: optuna.Study) -> list[Any]:
    """Return what a study contains of its trials."""
    return [
        (
            trial.number,
            trial.state,
            trial.values,
            trial.params,
            trial.user_attrs,
            trial.system_attrs,
            trial.intermediate_values,
            trial.datetime_start,
            trial.datetime_complete,
        )
        for trial in study.get_trials(deepcopy=False)
    ]


def test_a_widened_search_has_the_same_records(runs: Path) -> None:
    search = begun(runs)
    before = list(read_records(read_study(search.folder), sweep="tiny"))

    study = widened(search)

    assert list(read_records(study, sweep="tiny")) == before
    assert name_in_record(study) == before[0].study != study.study_name
    assert list(read_records(read_study(search.folder), sweep="tiny")) == before


def test_a_new_search_in_the_former_space_is_another_study(runs: Path) -> None:
    search = begun(runs)
    narrow = search.spec
    names = {name_in_record(widened(search))}
    search.spec = narrow

    again = search.study(new=True)
    next_trial(search.open(study=again))

    assert name_in_record(again) not in names
    assert len(search.study().get_trials(deepcopy=False)) == 1, "it is not taken for a study that was continued"


def test_the_sampler_reads_the_former_trials_in_the_wider_space(runs: Path) -> None:
    search = begun(runs)
    rates = [trial.params["optimizer.lr"] for trial in read_study(search.folder).get_trials(deepcopy=False)]

    trials = widened(search).get_trials(deepcopy=False)

    assert [trial.params for trial in trials] == [{"optimizer.lr": rate, "data.batch_size": 32} for rate in rates]
    assert all(trial.distributions == search.spec.space.distributions for trial in trials)


def test_a_widened_search_continues_running_and_paused_trials(runs: Path) -> None:
    search = begun(runs)
    study = widened(search)
    search.spec = search.spec.model_copy(update={"run_cap": 5})

    ledger = search.open(study=study)
    resumed = next_trial(ledger)
    new = next_trial(ledger)

    assert (
        resumed.number == max(number for number, trial in enumerate(ledger.records[:4]) if trial)
        or resumed.epochs == ()
    )
    assert ledger.records[1].outcome is Outcome.PAUSED
    assert new.number == len(study.get_trials(deepcopy=False)) - 1
    assert len(ledger.records) == 5


def test_widening_twice_keeps_the_name_in_the_record(runs: Path) -> None:
    search = begun(runs)
    before = name_in_record(read_study(search.folder))

    widened(search)
    study = widened(search, WIDER | {"optimizer.momentum": {"min": 0.0, "max": 0.9}})

    assert name_in_record(study) == before
    assert study.trials[0].params["optimizer.momentum"] == 0
    stored, _ = read_all_studies(search.folder)
    assert [each.study_name for each in stored] == [study.study_name]


def test_widening_again_changes_nothing(runs: Path) -> None:
    search = begun(runs)
    content = content_of(widened(search))

    assert content_of(widened(search)) == content
    assert content_of(widened(search, widen=False)) == content


def test_a_grid_continues_with_the_new_combinations(runs: Path) -> None:
    search = book(runs, method="grid", run_cap=None, parameters=RATES)
    ledger = search.open()
    for _ in range(2):
        ledger.receive(next_trial(ledger).number, TrialMessage(epoch=epoch(1, 0.5), outcome=Outcome.COMPLETE))
    assert ledger.is_done

    study = widened(search, MORE_RATES)
    ledger = search.open(study=study)

    assert not ledger.is_done
    assert next_trial(ledger).config.optimizer.lr == 0.05


def test_a_trial_outside_the_wider_space_keeps_its_result(runs: Path) -> None:
    conditions = {"model.name": ["resnet"]}
    search = book(
        runs,
        method="grid",
        run_cap=None,
        parameters=NETWORKS | {"model.width": {"values": [8, 16], "when": conditions}},
    )
    ledger = search.open()
    for _ in range(3):
        ledger.receive(next_trial(ledger).number, TrialMessage(epoch=epoch(1, 0.5), outcome=Outcome.COMPLETE))

    study = widened(search, NETWORKS | {"model.width": {"values": [8, 16]}})

    # The simple network has the width of the base, 4.
    assert [trial.params.get("model.width") for trial in study.trials] == [None, 8, 16]
    assert [trial.value for trial in study.trials] == [0.5, 0.5, 0.5]


def test_a_widening_survives_a_failure_at_any_line_of_the_journal(runs: Path, tmp_path: Path) -> None:
    search = begun(runs)
    folder, narrow = search.folder.path, search.spec
    saved = tmp_path / "saved"
    shutil.copytree(folder, saved)
    first = len(search.folder.journal.read_bytes().splitlines())
    whole = content_of(widened(search))
    records = list(read_records(read_study(search.folder), sweep="tiny"))
    lines = search.folder.journal.read_bytes().splitlines(keepends=True)
    assert len(lines) > first + len(whole) + 5

    for count in range(first, len(lines)):
        shutil.rmtree(folder)
        shutil.copytree(saved, folder)
        search.folder.journal.write_bytes(b"".join(lines[:count]) + lines[count][: len(lines[count]) // 2])

        assert list(read_records(read_study(search.folder), sweep="tiny")) == records
        assert len(take_inventory(search.folder).studies) == 1
        search.spec = narrow
        assert content_of(widened(search)) == whole
        stored, _ = read_all_studies(search.folder)
        assert len(stored) == 1


def test_a_failed_widening_leaves_the_former_search_to_its_file(runs: Path, tmp_path: Path) -> None:
    search = begun(runs)
    narrow, before = search.spec, content_of(read_study(search.folder))
    first = len(search.folder.journal.read_bytes().splitlines())
    saved = tmp_path / "saved"
    shutil.copytree(search.folder.path, saved)
    widened(search)
    lines = search.folder.journal.read_bytes().splitlines(keepends=True)
    opened = next(n for n in range(first, len(lines)) if b'"opened"' in lines[n])

    for count in range(first, opened):
        shutil.rmtree(search.folder.path)
        shutil.copytree(saved, search.folder.path)
        search.folder.journal.write_bytes(b"".join(lines[:count]))
        search.spec = narrow

        assert content_of(search.study()) == before


def test_the_former_file_is_refused_after_the_widening(runs: Path) -> None:
    search = begun(runs)
    narrow = search.spec
    widened(search)
    search.spec = narrow

    with pytest.raises(StudyChangedError, match=r"0\.1 removed") as raised:
        search.study()

    assert "--widen" not in str(raised.value)


def test_a_refusal_names_widen_where_it_would_continue(runs: Path) -> None:
    search = begun(runs)

    with pytest.raises(StudyChangedError, match=r"0\.1 added") as raised:
        widened(search, widen=False)

    assert "--widen continues the sweep in it" in str(raised.value)


def test_widen_refuses_a_narrower_space_and_names_the_key(runs: Path) -> None:
    search = begun(runs)

    with pytest.raises(StudyChangedError, match=r"which parameters\.optimizer\.lr prevents"):
        widened(search, {"optimizer.lr": {"values": [0.01, 0.2]}})


def test_replicates_stay_with_a_widened_search(runs: Path) -> None:
    from sweeps.search.opening import open_replicates

    search = begun(runs)
    name = open_replicates(search.folder).study_name

    widened(search)

    assert open_replicates(search.folder).study_name == name
    replicates = read_studies(search.folder).replicates
    assert replicates is not None
    assert replicates.study_name == name


@pytest.mark.usefixtures("instant_training")
def test_a_widened_sweep_doubles_no_run_on_the_leaderboard(tmp_path: Path, cli: Cli) -> None:
    runs = tmp_path / "runs"
    file = write_yaml(tmp_path, tiny(parameters=RATES, method="grid", run_cap=None))
    assert cli("run", file, "--backend", "inline", "--runs", runs).exit_code == 0
    before = {run.tags["key"] for run in written(runs)}
    write_yaml(tmp_path, tiny(parameters=MORE_RATES, method="grid", run_cap=None))

    refused = cli("run", file, "--backend", "inline", "--runs", runs)
    done = cli("run", file, "--backend", "inline", "--runs", runs, "--widen")
    again = cli("run", file, "--backend", "inline", "--runs", runs, "--widen")

    assert (refused.exit_code, done.exit_code, again.exit_code) == (2, 0, 0)
    assert "--widen continues the sweep" in refused.output
    assert "continues in the wider space with its 2 trials." in done.output
    assert "trained 1" in done.output
    keys = [run.tags["key"] for run in written(runs)]
    assert len(keys) == len(set(keys)) == 3
    assert before < set(keys)
    assert len(outcomes(runs)) == 3
    assert len(written(runs, kind="sweep")) == 1
    assert "Nothing to train" in again.output
    board = json.loads(cli("leaderboard", "--runs", runs, "--json").output)
    assert {row["trial"] for row in board} == {0, 1, 2}
    assert cli("doctor", "--runs", runs).exit_code == 0


def test_new_and_widen_together_are_refused(tmp_path: Path, cli: Cli) -> None:
    result = cli("run", write_yaml(tmp_path, tiny()), "--new", "--widen")

    assert result.exit_code == 2
    assert "Choose one" in result.output
