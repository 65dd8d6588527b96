"""The searched parameters of a recorded sweep, and Optuna's importances."""

from __future__ import annotations

import optuna
import pytest

from sweeps.core.errors import SweepError
from sweeps.search.recorded_search import TRIALS_FOR_PED_ANOVA, recorded_search_of

optuna.logging.set_verbosity(optuna.logging.ERROR)


def studied(trials: int, *, same: bool = False) -> optuna.Study:
    """Return a search in which only deep networks have a width, which has little effect."""

    def objective(trial: optuna.Trial) -> float:
        name = trial.suggest_categorical("model.name", ["simple", "deep", None])
        trial.suggest_float("optimizer.lr", 1e-3, 0.3, log=True)
        width = trial.suggest_categorical("model.width", [8, 16]) if name == "deep" else 0
        return 0.5 if same else 0.4 * (name == "simple") + 0.001 * width

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=trials)
    return study


def test_without_enough_complete_trials_there_is_no_importance() -> None:
    assert recorded_search_of(studied(TRIALS_FOR_PED_ANOVA - 1), sweep="made").ped_anova == {}


def test_optunas_importance_handles_conditional_parameters() -> None:
    found = recorded_search_of(studied(60), sweep="made").ped_anova

    assert set(found) == {"model.name", "model.width", "optimizer.lr"}
    assert sum(found.values()) == pytest.approx(1)
    assert max(found, key=lambda name: found[name]) == "model.name"


def test_equal_values_have_no_importance() -> None:
    assert recorded_search_of(studied(60, same=True), sweep="made").ped_anova == {}


def test_a_parameter_is_active_where_its_trial_has_a_value() -> None:
    searched = recorded_search_of(studied(20), sweep="made")

    assert all(("model.width" in values) == (values["model.name"] == "deep") for values in searched.values.values())


def test_a_study_without_searched_parameters_is_an_error() -> None:
    with pytest.raises(SweepError, match=r"searched no parameters\. Name a search"):
        recorded_search_of(optuna.create_study(), sweep="steps")
