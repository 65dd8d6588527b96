"""Priors of parameters: draws near the guess, and the loss of weight of a wrong guess."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError
from sweep_fakes import key_of, tiny

from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome
from sweeps.driver.estimate import preview
from sweeps.files.parameter import Parameter
from sweeps.files.space import SearchSpace
from sweeps.files.sweep import SweepSpec
from sweeps.search.positions import position_of, value_at_position
from sweeps.search.prior import MIN_TRIALS, STRENGTHS, Prior, draw_from_prior
from sweeps.search.proposers import proposer_of
from sweeps.simulation.curves import Curve, Curves
from sweeps.simulation.replayed import replay_search
from sweeps.stopping.rules import parse_rule

LR = {"min": 0.001, "max": 1.0, "distribution": "log_uniform_values"}
MAXIMIZE = StudyDirection.MAXIMIZE


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(tiny(**changes))


def space_with(**parameters: dict[str, Any]) -> SearchSpace:
    paths = {"lr": "optimizer.lr", "decay": "optimizer.weight_decay", "size": "data.batch_size", "name": "model.name"}
    return spec(parameters={paths[name]: each for name, each in parameters.items()}, run_cap=9).space


def rates(
    search: SweepSpec, study: optuna.Study, count: int, *, value: Callable[[float], float] = lambda rate: rate
) -> list[float]:
    """Ask and tell trials of these values; return the proposed rates."""
    proposer, found = proposer_of(search), []
    for _ in range(count):
        proposal = proposer.ask(study, repeats=0)
        assert proposal is not None
        proposal.trial.set_user_attr("key", key_of(proposal.config))
        study.tell(proposal.trial, value(proposal.config.optimizer.lr))
        found.append(proposal.config.optimizer.lr)
    return found


@pytest.mark.parametrize("method", ["bayes", "random"])
def test_the_first_proposal_is_the_prior_itself(method: str) -> None:
    parameters = {"optimizer.lr": LR | {"prior": 0.03}, "data.batch_size": {"values": [32, 64, 128], "prior": 64}}

    first = preview(spec(method=method, parameters=parameters))[0]

    assert (first.optimizer.lr, first.data.batch_size) == (0.03, 64)


def test_configurations_listed_in_start_with_replace_the_prior_as_first_proposal() -> None:
    search = spec(parameters={"optimizer.lr": LR | {"prior": 0.03}}, start_with=[{"optimizer.lr": 0.5}], run_cap=4)

    assert preview(search)[0].optimizer.lr == 0.5
    assert 0.03 not in [config.optimizer.lr for config in preview(search)]


@pytest.mark.parametrize("method", ["bayes", "random"])
def test_a_reopened_search_with_priors_proposes_what_an_uninterrupted_one_would(method: str) -> None:
    search = spec(method=method, parameters={"optimizer.lr": LR | {"prior": 0.5, "confidence": "high"}}, run_cap=20)
    whole, halved = optuna.create_study(direction="maximize"), optuna.create_study(direction="maximize")

    uninterrupted = rates(search, whole, 16)

    assert rates(search, halved, 7) + rates(search, halved, 9) == uninterrupted
    assert len(set(uninterrupted)) == 16


def test_more_proposals_lie_near_a_prior_with_more_confidence() -> None:
    near = []
    for confidence in ("low", "high"):
        parameters = {"optimizer.lr": LR | {"prior": 0.03, "confidence": confidence}}
        found = [
            rates(spec(parameters=parameters, run_cap=9, seed=seed), _study(), 9, value=_nearness) for seed in range(20)
        ]
        near.append(sum(0.015 < rate < 0.06 for of_seed in found for rate in of_seed))

    assert near[1] > 1.3 * near[0]


def _study() -> optuna.Study:
    return optuna.create_study(direction="maximize")


def _nearness(rate: float) -> float:
    """Return a value that is best at a rate of 0.03."""
    return -abs(math.log(rate / 0.03))


def test_draws_of_a_logarithmic_range_centre_on_the_logarithm() -> None:
    space = space_with(lr=LR | {"prior": 0.03, "confidence": "high"})
    drawn = [draw_from_prior(space, np.random.default_rng(seed))["optimizer.lr"] for seed in range(400)]

    logs = np.log10(drawn)
    assert np.mean(logs) == pytest.approx(math.log10(0.03), abs=0.05)
    assert np.std(logs) == pytest.approx(3 * STRENGTHS["high"].deviation, rel=0.15)


def test_a_listed_prior_is_drawn_with_its_additional_probability() -> None:
    space = space_with(size={"values": [16, 32, 64, 128], "prior": 64, "confidence": "medium"})
    drawn = [draw_from_prior(space, np.random.default_rng(seed))["data.batch_size"] for seed in range(600)]

    assert drawn.count(64) / 600 == pytest.approx(0.5 / 4 + 0.5, abs=0.06)
    assert set(drawn) == {16, 32, 64, 128}


def test_a_weighted_list_keeps_its_probabilities_beside_the_prior() -> None:
    values = {"values": [16, 32, 64], "probabilities": [0.8, 0.2, 0.0], "prior": 32, "confidence": "low"}
    space = space_with(size=values)
    drawn = [draw_from_prior(space, np.random.default_rng(seed))["data.batch_size"] for seed in range(600)]

    assert drawn.count(16) / 600 == pytest.approx(0.7 * 0.8, abs=0.06)
    assert 64 not in drawn


RANGES: list[dict[str, Any]] = [
    {"min": 0.001, "max": 1.0, "distribution": "log_uniform_values"},
    {"min": 0.1, "max": 0.9},
    {"min": 0.1, "max": 0.9, "q": 0.2, "distribution": "q_uniform"},
    {"distribution": "normal", "mu": 0.5, "sigma": 0.05},
    {"distribution": "beta", "a": 2, "b": 5},
    {"min": 0.01, "max": 0.5, "q": 0.01, "distribution": "q_log_uniform_values"},
]


@settings(deadline=None)
@given(
    content=st.sampled_from(RANGES),
    share=st.floats(0, 1),
    confidence=st.sampled_from(list(STRENGTHS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_draw_lies_in_the_space_and_has_a_density(
    content: dict[str, Any], share: float, confidence: str, seed: int
) -> None:
    plain = space_with(lr=content)
    prior = plain.decode("optimizer.lr", value_at_position(share, plain.distributions["optimizer.lr"]))
    space = space_with(lr=content | {"prior": prior, "confidence": confidence})

    drawn = draw_from_prior(space, np.random.default_rng(seed))

    assert space.point_of(space.config(drawn)) == drawn
    assert math.isfinite(Prior(space).log_density(space.encode(drawn)))


def test_the_density_of_a_prior_integrates_to_one() -> None:
    space = space_with(lr=LR | {"prior": 0.9, "confidence": "low"})
    distribution = space.distributions["optimizer.lr"]
    points = [{"optimizer.lr": value_at_position(share, distribution)} for share in np.linspace(0, 1, 2001)]

    densities = [math.exp(Prior(space).log_density(point)) for point in points]

    assert np.mean(densities) == pytest.approx(1, abs=0.002)
    assert densities[-40] > 3 * densities[0]


def test_positions_of_a_range_convert_back() -> None:
    space = space_with(size={"min": 16, "max": 256, "distribution": "log_uniform_values"})
    distribution = space.distributions["data.batch_size"]

    sizes = range(16, 257)
    assert [value_at_position(position_of({"x": size}, "x", distribution), distribution) for size in sizes] == [*sizes]


def ended(space: SearchSpace, values: list[tuple[float, float]]) -> list[FrozenTrial]:
    """Return complete trials of pairs of rate and result."""
    trials = [
        create_trial(params={"optimizer.lr": rate}, distributions=dict(space.distributions), value=result)
        for rate, result in values
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


NEAR_AND_FAR = [(0.03 if number % 2 else 0.9 - number / 100, float(number % 2)) for number in range(16)]
"""Trials at the prior with the result 1, and trials far away with 0."""


def test_a_prior_keeps_its_weight_while_its_trials_are_best() -> None:
    space = space_with(lr=LR | {"prior": 0.03})
    strength = STRENGTHS["medium"]

    weight = Prior(space).weight(ended(space, NEAR_AND_FAR), direction=MAXIMIZE)

    assert weight == pytest.approx(strength.share * strength.lasts / (strength.lasts + 16))


@pytest.mark.parametrize("direction", list(StudyDirection)[1:])
def test_a_contradicted_prior_loses_its_weight_within_sixteen_trials(direction: StudyDirection) -> None:
    space = space_with(lr=LR | {"prior": 0.03, "confidence": "high"})
    sign = -1 if direction is MAXIMIZE else 1
    trials = ended(space, [(rate, sign * result) for rate, result in NEAR_AND_FAR])

    assert Prior(space).weight(trials, direction=direction) < 0.02


def test_a_prior_without_evidence_decays_with_the_number_of_trials() -> None:
    space = space_with(lr=LR | {"prior": 0.03})
    weights = [Prior(space).weight(ended(space, [(0.03, 1.0)] * n), direction=MAXIMIZE) for n in (0, 12, 100, 1000)]

    assert weights[0] == STRENGTHS["medium"].share
    assert weights[1] == pytest.approx(weights[0] / 2)
    assert weights[1] > weights[2] > weights[3] == 0


def test_failed_and_running_trials_are_no_evidence() -> None:
    space = space_with(lr=LR | {"prior": 0.03})
    trials = ended(space, [(rate, -result) for rate, result in NEAR_AND_FAR])
    for trial in trials[MIN_TRIALS - 1 :]:
        trial.state = TrialState.FAIL if trial.number % 2 else TrialState.RUNNING

    assert Prior(space).weight(trials, direction=MAXIMIZE) > 0.2


def test_paused_trials_are_evidence_by_their_results_so_far() -> None:
    space = space_with(lr=LR | {"prior": 0.03})
    trials = ended(space, [(rate, -result) for rate, result in NEAR_AND_FAR])
    for trial in trials:
        trial.intermediate_values = {1: trial.value or 0.0}
        trial.state, trial.value = TrialState.RUNNING, None
        trial.user_attrs = {"paused": True}

    assert Prior(space).weight(trials, direction=MAXIMIZE) < 0.02


def test_an_inactive_parameter_changes_no_density() -> None:
    parameters = {
        "model.name": {"values": ["simple", "resnet"]},
        "optimizer.lr": LR | {"prior": 0.03, "when": {"model.name": "resnet"}},
    }
    space = spec(parameters=parameters, run_cap=9).space
    point = {"model.name": "simple"}

    assert Prior(space).log_density(point) == 0
    assert Prior(space).log_density({"model.name": "resnet", "optimizer.lr": 0.03}) > 0
    drawn = [draw_from_prior(space, np.random.default_rng(seed)) for seed in range(20)]
    assert all(("optimizer.lr" in each) == (each["model.name"] == "resnet") for each in drawn)


def test_a_prior_of_a_value_that_another_prior_excludes_is_not_proposed() -> None:
    parameters = {
        "model.name": {"values": ["simple", "resnet"], "prior": "simple"},
        "model.width": {"values": [8, 16], "prior": 8, "when": {"model.name": ["resnet"]}},
    }

    assert spec(parameters=parameters, run_cap=9).space.priors == {"model.name": "simple"}


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (LR | {"prior": 3}, ("optimizer.lr.prior: 3 is not between 0.001 and 1.0",)),
        ({"values": [0.1, 0.2], "prior": 0.3}, ("optimizer.lr.prior: 0.3 is not one of [0.1, 0.2]",)),
        (
            {"min": 0.1, "max": 0.9, "q": 0.2, "distribution": "q_uniform", "prior": 0.2},
            ("optimizer.lr.prior: 0.2 is not on a step",),
        ),
        (LR | {"confidence": "high"}, ("optimizer.lr", "confidence high is that of a prior", "Write prior: VALUE")),
        (LR | {"prior": 0.1, "confidence": "huge"}, ("optimizer.lr", "confidence", "'low'", "'high'")),
    ],
)
def test_an_invalid_prior_is_refused_with_its_place(parameter: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as raised:
        spec(parameters={"optimizer.lr": parameter}, run_cap=9)

    assert all(word in str(raised.value) for word in words)


def test_priors_that_exclude_each_other_are_refused() -> None:
    sizes = {
        "data.train_size": {"values": [300, 49_500], "prior": 49_500},
        "data.validation_size": {"values": [200, 600], "prior": 600},
    }

    with pytest.raises(ValidationError, match=r"the priors together: .*50100"):
        spec(parameters=sizes)


def test_a_prior_that_violates_a_condition_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"the priors together: violates where\[0\]"):
        spec(parameters={"optimizer.lr": LR | {"prior": 0.03}}, where=["optimizer.lr > 0.5"], run_cap=9)


def test_a_prior_is_converted_to_the_type_of_its_field() -> None:
    space = space_with(size={"values": ["32", "64"], "prior": "64"})

    assert space.priors == {"data.batch_size": 64}


def test_a_prior_changes_no_stored_definition() -> None:
    plain = spec(parameters={"optimizer.lr": LR}, run_cap=9)
    guessed = spec(parameters={"optimizer.lr": LR | {"prior": 0.03, "confidence": "low"}}, run_cap=9)

    assert guessed.definition() == plain.definition()


def test_a_prior_in_a_grid_is_reported_as_without_effect() -> None:
    parameters = {"optimizer.lr": {"values": [0.1, 0.2], "prior": 0.1}}

    assert "optimizer.lr.prior: has no effect in a grid" in "".join(
        spec(method="grid", parameters=parameters).warnings()
    )


# Cost of a wrong prior, in replays.

SEEDS = 24
COST = 1.2
"""Largest number of epochs with the worst prior, as a multiple of those without one."""


def synthetic() -> Curves:
    """Return 600 curves over two parameters that are best at a rate of 0.05 and a decay of 0.001."""
    paths = ("optimizer.lr", "optimizer.weight_decay")
    parameters = {
        paths[0]: Parameter(min=1e-4, max=1.0, distribution="log_uniform_values"),
        paths[1]: Parameter(min=1e-6, max=0.1, distribution="log_uniform_values"),
    }
    space = SearchSpace(parameters=parameters, base={"epochs": 1})
    found = []
    for rate, decay in 10 ** np.random.default_rng(0).uniform([-4, -6], [0, -1], size=(600, 2)):
        value = float(1 - ((math.log10(rate) + 1.3) / 4) ** 2 - ((math.log10(decay) + 3) / 5) ** 2)
        assignment = dict(zip(paths, (float(rate), float(decay)), strict=True))
        found.append(
            Curve(
                config=space.config(assignment),
                point=space.encode(assignment),
                epochs=(EpochResult(epoch=1, seconds=1, finished_at=0, metrics={"val_accuracy": value}),),
                outcome=Outcome.COMPLETE,
                true_value=value,
            )
        )
    return Curves(found, space=space, metric="val_accuracy", maximize=True)


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The benchmark of priors, whose tables it reads too."""
    folder = Path(__file__).parents[3] / "benchmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        at = importlib.util.spec_from_file_location("priors", folder / "priors.py")
        assert at is not None
        assert at.loader is not None
        module = importlib.util.module_from_spec(at)
        at.loader.exec_module(module)
    return module


def regret_by_trial(
    curves_of: Callable[[int], Curves], regret: Callable[[float], float], *, trials: int, method: str
) -> np.ndarray[Any, Any]:
    """Return the mean regret over the seeds after each trial."""
    found = np.ones((SEEDS, trials))
    for seed in range(SEEDS):
        curves = curves_of(seed)
        epochs = len(curves[0].epochs)
        replay = replay_search(
            curves, method=method, rule=parse_rule({"type": "none"}), epochs=epochs, run_cap=trials, slots=1, seed=seed
        )
        for each in replay.incumbents:
            found[seed, -(-each.epochs // epochs) - 1 :] = min(1.0, regret(each.true_value))
    return np.asarray(found.mean(axis=0))


def cost(
    bench: ModuleType, curves: Curves, regret: Callable[[float], float], *, tenth: str, method: str, trials: int
) -> float:
    """Return the trials until the mean regret is that after some trials without priors, as a multiple of these."""
    plain = regret_by_trial(lambda seed: curves, regret, trials=trials, method=method)

    def with_priors(seed: int) -> Curves:
        changed: Curves = bench.with_priors(curves, tenth=tenth, confidence="medium", seed=seed)
        return changed

    reached = np.flatnonzero(regret_by_trial(with_priors, regret, trials=2 * trials, method=method) <= plain[-1])
    return float(reached[0] + 1) / trials if len(reached) else math.inf


def test_a_wrong_prior_takes_at_most_a_fifth_of_the_random_proposals() -> None:
    def proposed(**prior: Any) -> list[list[float]]:
        searches = [spec(parameters={"optimizer.lr": LR | prior}, run_cap=20, seed=seed) for seed in range(SEEDS)]
        return [rates(search, _study(), 20, value=_nearness) for search in searches]

    # Both draw the same otherwise, so that each differing proposal is one from the prior.
    pairs = [
        before != after
        for plain, wrong in zip(proposed(), proposed(prior=0.95, confidence="high"), strict=True)
        for before, after in zip(plain, wrong, strict=True)
    ]

    assert SEEDS < sum(pairs) <= (COST - 1) * len(pairs)


def test_a_prior_at_the_worst_tenth_costs_tpe_at_most_a_fifth(bench: ModuleType) -> None:
    curves = synthetic()

    assert cost(bench, curves, lambda value: curves.best - value, tenth="worst", method="bayes", trials=20) <= COST


@pytest.mark.parametrize("method", ["bayes", "random"])
def test_a_prior_at_the_best_tenth_halves_the_trials(bench: ModuleType, method: str) -> None:
    curves = synthetic()

    assert cost(bench, curves, lambda value: curves.best - value, tenth="best", method=method, trials=10) <= 0.5


@pytest.mark.slow
def test_a_wrong_prior_on_taskset_costs_at_most_a_fifth(bench: ModuleType) -> None:
    table = next(bench.tables("taskset"), None)
    if table is None:
        pytest.skip("no curves in SWEEPS_CURVES")

    assert cost(bench, table.curves, table.regret, tenth="worst", method="bayes", trials=20) <= COST
