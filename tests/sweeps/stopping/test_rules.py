"""Requirements for all rules of early stopping in `RULES`."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_fakes import tiny

from sweeps.core.errors import SpecError
from sweeps.files.sweep import SweepSpec, load_spec
from sweeps.stopping.asha import Asha
from sweeps.stopping.hyperband import Hyperband
from sweeps.stopping.median import Median
from sweeps.stopping.rule import StoppingRule
from sweeps.stopping.rules import RULES

BUILT = {
    "asha": {"_min_resource": 2, "_reduction_factor": 4},
    "hyperband": {"_min_resource": 2, "_max_resource": 30, "_reduction_factor": 4},
    "median": {"_n_warmup_steps": 2, "_n_startup_trials": 5},
    "none": {},
}


def rule(name: str, **fields: Any) -> StoppingRule:
    known = RULES[name].model_fields
    if "mode" in known:
        fields["mode"] = "stop"  # with Optuna's pruner
    return RULES[name].model_validate({field: value for field, value in fields.items() if field in known})


@pytest.mark.parametrize("name", RULES)
def test_a_rule_builds_optunas_pruner_from_its_fields(name: str) -> None:
    pruner = rule(name, min_epochs=2, reduction_factor=4).pruner(epochs=30)

    assert isinstance(pruner, optuna.pruners.BasePruner)
    assert {field: vars(pruner)[field] for field in BUILT.get(name, {})} == BUILT.get(name, {})


@given(
    name=st.sampled_from(sorted(RULES)), epochs=st.integers(1, 50), least=st.integers(1, 60), factor=st.integers(2, 5)
)
def test_expected_epochs_are_between_the_minimum_and_all(name: str, epochs: int, least: int, factor: int) -> None:
    expected = rule(name, min_epochs=least, reduction_factor=factor).expected_epochs(epochs)

    assert min(least, epochs) <= expected <= max(epochs, least)
    assert expected <= epochs or least > epochs


@pytest.mark.parametrize("name", RULES)
def test_no_rule_stops_a_trial_before_min_epochs(name: str) -> None:
    study = optuna.create_study(direction="maximize", pruner=rule(name, min_epochs=3).pruner(epochs=9))
    stopped_after = [_train(study, epochs=9, value=1 / (number + 1)) for number in range(40)]

    assert all(epoch >= 3 for epoch in stopped_after)
    if not rule(name).milestones(epochs=9):  # otherwise trials pause
        assert (min(stopped_after) < 9) == RULES[name]().stops


def _train(study: optuna.Study, *, epochs: int, value: float) -> int:
    """Return after which epoch a trial of constant value ends."""
    trial = study.ask()
    for epoch in range(1, epochs + 1):
        trial.report(value, epoch)
        if epoch < epochs and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return epoch
    study.tell(trial, value)
    return epochs


@pytest.mark.parametrize("name", RULES)
def test_a_rule_written_to_a_file_is_read_as_itself(name: str) -> None:
    spec = SweepSpec.model_validate(tiny(early_terminate={"type": name, "min_epochs": 2}))

    again = SweepSpec.model_validate(spec.model_dump(mode="json", exclude_unset=True))

    assert again.early_terminate == spec.early_terminate
    assert type(again.early_terminate) is RULES[name]


@pytest.mark.parametrize("name", RULES)
def test_the_sentence_names_the_rule(name: str) -> None:
    said = RULES[name]().sentence

    assert name in said or not RULES[name]().stops


@pytest.mark.parametrize("kind", [Asha, Hyperband, Median])
def test_a_rule_that_begins_at_the_last_epoch_never_acts(kind: type[StoppingRule]) -> None:
    assert "min_epochs: 4" in str(kind.model_validate({"min_epochs": 4}).never_acts(epochs=4, run_cap=20))
    assert kind.model_validate({"min_epochs": 3}).never_acts(epochs=4, run_cap=20) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"type": "ahsa"}, "did you mean 'asha'"),
        ({"min_epochs": 2}, "type is required"),
        ({"type": "median", "reduction_factor": 3}, "reduction_factor"),
        ({"type": "asha", "min_epochs": 0}, "early_terminate.min_epochs"),
        ("asha", "a mapping"),
    ],
)
def test_a_wrong_rule_is_named_with_its_key(wrong: Any, said: str, tmp_path: Any) -> None:
    from sweep_fakes import write_yaml

    with pytest.raises(SpecError, match="early_terminate") as error:
        load_spec(write_yaml(tmp_path, tiny(early_terminate=wrong)))
    assert said in str(error.value)
