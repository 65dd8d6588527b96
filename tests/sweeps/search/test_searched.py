"""What a recorded sweep searched, and Optuna's own importance of it."""

from __future__ import annotations

import optuna
import pytest

from sweeps.core.errors import SweepError
from sweeps.search.searched import TRIALS_FOR_PED_ANOVA, searched_of

optuna.logging.set_verbosity(optuna.logging.ERROR)


def studied(trials: int, *, same: bool = False) -> optuna.Study:
    """Return a search in which only networks that are deep have a width, which hardly matters."""

    def objective(trial: optuna.Trial) -> float:
        name = trial.suggest_categorical("model.name", ["simple", "deep", None])
        trial.suggest_float("optimizer.lr", 1e-3, 0.3, log=True)
        width = trial.suggest_categorical("model.width", [8, 16]) if name == "deep" else 0
        return 0.5 if same else 0.4 * (name == "simple") + 0.001 * width

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=trials)
    return study


def test_without_enough_complete_trials_optuna_is_not_asked() -> None:
    assert searched_of(studied(TRIALS_FOR_PED_ANOVA - 1), sweep="made").ped_anova == {}


def test_optunas_importance_knows_conditional_parameters() -> None:
    found = searched_of(studied(60), sweep="made").ped_anova

    assert set(found) == {"model.name", "model.width", "optimizer.lr"}
    assert sum(found.values()) == pytest.approx(1)
    assert max(found, key=lambda name: found[name]) == "model.name"


def test_of_equal_values_it_says_nothing() -> None:
    assert searched_of(studied(60, same=True), sweep="made").ped_anova == {}


def test_a_parameter_is_active_where_its_trial_has_a_value() -> None:
    searched = searched_of(studied(20), sweep="made")

    assert all(("model.width" in values) == (values["model.name"] == "deep") for values in searched.values.values())


def test_a_study_that_searched_nothing_is_refused() -> None:
    with pytest.raises(SweepError, match="searched no parameters: `sweeps effects` is for a search"):
        searched_of(optuna.create_study(), sweep="steps")
