"""Each distribution of a parameter: what is drawn, stored, listed, described, and what is refused."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from sweep_fakes import tiny

from cifar_core.common.validation import explain
from sweeps.files.definition import canonical_definition, contains_point, definition_changes
from sweeps.files.parameter import Parameter
from sweeps.files.space import SearchSpace
from sweeps.files.sweep import SweepSpec
from sweeps.search.proposers import proposer_of
from sweeps.search.recorded_search import recorded_search_of

optuna.logging.set_verbosity(optuna.logging.ERROR)

LR, SIZE = "optimizer.lr", "data.batch_size"


def space(path: str, **parameter: Any) -> SearchSpace:
    return SearchSpace(parameters={path: Parameter(**parameter)}, base={})


def drawn(path: str, *, count: int = 400, **parameter: Any) -> list[Any]:
    of = space(path, **parameter)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [of.suggest(study.ask())[path] for _ in range(count)]


CURVES = {
    "normal": ({"distribution": "normal", "mu": 0.3, "sigma": 0.05}, stats.norm(0.3, 0.05)),
    "standard normal": ({"distribution": "normal"}, stats.norm()),
    "log-normal": ({"distribution": "log_normal", "mu": -3, "sigma": 0.5}, stats.lognorm(s=0.5, scale=math.exp(-3))),
    "beta": ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
    "uniform": ({"min": 0.1, "max": 0.4}, stats.uniform(0.1, 0.3)),
    "log-uniform": (
        {"distribution": "log_uniform_values", "min": 1e-4, "max": 0.1},
        stats.loguniform(1e-4, 0.1),
    ),
    "log-uniform by exponents": (
        {"distribution": "log_uniform", "min": math.log(1e-4), "max": math.log(0.1)},
        stats.loguniform(1e-4, 0.1),
    ),
    "inverse log-uniform": (
        {"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 0.1},
        stats.loguniform(1e-4, 0.1),
    ),
    "inverse log-uniform by exponents": (
        {"distribution": "inv_log_uniform", "min": -math.log(0.1), "max": -math.log(1e-4)},
        stats.loguniform(1e-4, 0.1),
    ),
}


@pytest.mark.parametrize("case", CURVES)
def test_draws_follow_the_distribution_of_their_name(case: str) -> None:
    parameter, reference = CURVES[case]

    values = drawn(LR, **parameter)

    assert stats.kstest(values, reference.cdf).pvalue > 0.01


ROUNDED = {
    "log-uniform": ({"distribution": "q_log_uniform_values", "min": 30, "max": 256, "q": 8}, (32, 256)),
    "log-uniform by exponents": ({"distribution": "q_log_uniform", "min": 3.4, "max": 5.5, "q": 8}, (32, 248)),
    "normal": ({"distribution": "q_normal", "mu": 128, "sigma": 16, "q": 16}, (48, 208)),
    "log-normal": ({"distribution": "q_log_normal", "mu": 4, "sigma": 0.3, "q": 4}, (12, 164)),
}


@pytest.mark.parametrize("case", ROUNDED)
def test_a_rounded_draw_is_an_integer_multiple_of_its_step(case: str) -> None:
    parameter, (low, high) = ROUNDED[case]

    values = drawn(SIZE, **parameter)

    assert all(isinstance(value, int) and value % parameter["q"] == 0 for value in values)
    assert low <= min(values) < max(values) <= high


def test_a_rounded_beta_has_the_steps_between_0_and_1() -> None:
    of = space("model.dropout", distribution="q_beta", a=2, b=2, q=0.2)

    assert of.finite_values("model.dropout") == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert set(drawn("model.dropout", distribution="q_beta", a=2, b=2, q=0.2)) <= {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}


def test_a_distribution_of_an_integer_field_is_rounded() -> None:
    values = drawn(SIZE, count=50, distribution="normal", mu=64, sigma=10)

    assert all(isinstance(value, int) for value in values)
    assert len(set(values)) > 10


def test_values_are_drawn_by_their_probabilities() -> None:
    weights = {"values": ["adam", "sgd", "adamw"], "probabilities": [0.2, 0.8, 0]}

    counts = Counter(drawn("optimizer.name", **weights))

    assert counts["sgd"] == pytest.approx(320, abs=40)
    assert set(counts) == {"adam", "sgd"}
    assert space("optimizer.name", **weights).finite_values("optimizer.name") == ["adam", "sgd"]


def test_a_condition_may_be_on_weighted_values() -> None:
    parameters = {
        "optimizer.name": Parameter(values=("adam", "sgd"), probabilities=(0.3, 0.7)),
        "optimizer.momentum": Parameter(values=(0.0, 0.9), when={"optimizer.name": "sgd"}),
    }
    of = SearchSpace(parameters=parameters, base={})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    for assignment in [of.suggest(study.ask()) for _ in range(20)]:
        assert ("optimizer.momentum" in assignment) == (assignment["optimizer.name"] == "sgd")
    assert of.cardinality == 3


CONVERTED = [
    {"distribution": "normal", "mu": 0.3, "sigma": 0.05},
    {"distribution": "log_normal", "mu": -3, "sigma": 0.5},
    {"distribution": "beta", "a": 2, "b": 5},
    {"distribution": "q_normal", "mu": 0.3, "sigma": 0.05, "q": 0.01},
    {"distribution": "q_log_uniform_values", "min": 0.001, "max": 0.3, "q": 0.002},
    {"values": [0.1, 0.2, 0.3], "probabilities": [0.5, 0.25, 0.25]},
]


@given(parameter=st.sampled_from(CONVERTED), share=st.floats(0.001, 0.999))
@settings(max_examples=60, deadline=None)
def test_a_value_survives_the_store_and_is_a_point_of_the_space(parameter: dict[str, Any], share: float) -> None:
    of = space(LR, **parameter)
    low, high = of.distributions[LR].low, of.distributions[LR].high  # type: ignore[attr-defined]
    value = of.decode(LR, low + share * (high - low))

    stored = json.loads(json.dumps(of.encode({LR: value})[LR]))

    assert of.decode(LR, stored) == pytest.approx(value, rel=1e-9)
    assert low <= stored <= high
    assert value <= 0 or contains_point(of, of.config({LR: value}))


def test_a_start_is_tried_as_written_and_effects_have_the_values() -> None:
    parameters = {
        LR: {"distribution": "log_normal", "mu": -3, "sigma": 0.5},
        SIZE: {"distribution": "q_log_uniform_values", "min": 16, "max": 256, "q": 16},
        "optimizer.name": {"values": ["sgd", "adam"], "probabilities": [0.7, 0.3]},
    }
    start = {LR: 0.0123456789, SIZE: 48, "optimizer.name": "adam"}
    spec = SweepSpec.model_validate(tiny(parameters=parameters, start_with=[start], run_cap=5))
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("definition", json.dumps(spec.definition()))
    proposer = proposer_of(spec)
    for _ in range(5):
        proposal = proposer.ask(study, repeats=0)
        assert proposal is not None
        proposal.trial.set_user_attr("config", proposal.config.model_dump_json())

    searched = recorded_search_of(study, sweep="tiny")

    assert searched.values[0] == start
    assert all(
        values[SIZE] % 16 == 0 and values["optimizer.name"] in ("sgd", "adam") for values in searched.values.values()
    )


def test_a_finite_space_of_converted_values_is_tried_once_each() -> None:
    parameters = {
        SIZE: {"distribution": "q_log_uniform_values", "min": 16, "max": 64, "q": 16},
        "optimizer.name": {"values": ["sgd", "adam"], "probabilities": [0.9, 0.1]},
    }
    spec = SweepSpec.model_validate(tiny(parameters=parameters, method="random", run_cap=20))
    study = optuna.create_study(direction="maximize")
    proposer = proposer_of(spec)
    keys = [proposer.ask(study, repeats=0) for _ in range(3)]
    rest = []
    while (proposal := proposer.ask(study, repeats=100)) is not None:
        rest.append(proposal)

    found = {proposal.config.config_id() for proposal in [*keys, *rest] if proposal is not None}
    assert len(found) == spec.space.cardinality == 8
    assert len(rest) == len({proposal.config.config_id() for proposal in rest})


def test_a_grid_takes_rounded_ranges_and_refuses_normal_ones() -> None:
    grid = tiny(method="grid", run_cap=None)
    finite = {SIZE: {"distribution": "q_log_uniform_values", "min": 16, "max": 64, "q": 16}}

    spec = SweepSpec.model_validate(grid | {"parameters": finite})

    assert [a[SIZE] for a in spec.space.assignments()] == [16, 32, 48, 64]
    with pytest.raises(ValidationError, match="a grid needs `values`"):
        SweepSpec.model_validate(grid | {"parameters": {LR: {"distribution": "q_normal", "q": 0.1}}})


DESCRIBED = {
    "normal, mean 0.3, deviation 0.05 (numbers)": {"distribution": "normal", "mu": 0.3, "sigma": 0.05},
    "log-normal, mean of the logarithm -3, deviation 1 (numbers)": {"distribution": "log_normal", "mu": -3},
    "beta, a 2, b 1 (numbers, step 0.1)": {"distribution": "q_beta", "a": 2, "q": 0.1},
    "0.001 to 0.3 (numbers, log, step 0.01)": {
        "distribution": "q_log_uniform_values",
        "min": 0.001,
        "max": 0.3,
        "q": 0.01,
    },
    "0.1 (75 %) | 0.2 (25 %)": {"values": [0.1, 0.2], "probabilities": [0.75, 0.25]},
}


@pytest.mark.parametrize("text", DESCRIBED)
def test_a_distribution_is_described_in_words(text: str) -> None:
    assert space(LR, **DESCRIBED[text]).describe() == [(LR, text, "")]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "keys of another": ({"distribution": "normal", "min": 0, "max": 1}, "it takes no min and no max"),
    "a deviation of a range": ({"min": 0, "max": 1, "sigma": 1}, "sigma need a distribution: normal"),
    "a deviation of 0": ({"distribution": "normal", "sigma": 0}, "greater than 0"),
    "no step": ({"distribution": "q_normal"}, "q_normal needs a step q"),
    "a step where there is none": ({"distribution": "beta", "q": 0.1}, "beta has no step q"),
    "probabilities alone": ({"probabilities": [1.0]}, "give one of"),
    "probabilities of a range": ({"min": 0, "max": 1, "probabilities": [1]}, "probabilities are those of"),
    "too few probabilities": ({"values": [0.1, 0.2], "probabilities": [1]}, "1 probabilities for 2 values"),
    "probabilities of more than 1": ({"values": [0.1, 0.2], "probabilities": [0.6, 0.6]}, "add up to 1.2, not to 1"),
    "a negative probability": ({"values": [0.1, 0.2], "probabilities": [-0.5, 1.5]}, "greater than or equal to 0"),
    "a logarithm of 0": ({"distribution": "inv_log_uniform_values", "min": 0, "max": 1}, "needs min above 0"),
    "a value as an exponent": ({"distribution": "log_uniform", "min": 100, "max": 1000}, "log_uniform_values"),
    "half a range of exponents": ({"distribution": "log_uniform", "min": -3}, "both min and max"),
    "nothing possible": ({"distribution": "normal", "mu": -5, "sigma": 0.1}, "greater than 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_distribution_with_wrong_keys_is_refused(case: str) -> None:
    parameter, words = REFUSED[case]

    with pytest.raises(ValidationError) as raised:
        SweepSpec.model_validate(tiny(parameters={LR: parameter}))

    assert words in " ".join(explain(raised.value))


def test_impossible_draws_are_named_with_their_share() -> None:
    (warning,) = SweepSpec.model_validate(tiny(parameters={LR: {"distribution": "normal"}})).warnings()

    assert warning.startswith(f"parameters.{LR}: about 51 % of the draws are invalid")


def test_a_change_of_a_distribution_is_another_search() -> None:
    before, same, after = (
        SweepSpec.model_validate(tiny(parameters={LR: parameter})).definition()
        for parameter in (
            {"distribution": "normal", "mu": 1},
            {"distribution": "normal", "mu": 1.0, "sigma": 1},
            {"distribution": "normal", "mu": 2},
        )
    )

    assert definition_changes(before, same) == []
    assert len(definition_changes(before, after)) == 1
    assert canonical_definition(before) != canonical_definition(after)
