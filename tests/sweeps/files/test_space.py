"""Search spaces: conditions, Optuna distributions and the resulting configurations."""

from __future__ import annotations

import itertools
import json
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweeps.files.parameter import Assignment, Parameter
from sweeps.files.space import SearchSpace
from sweeps.files.space_check import SpaceError, assignment_errors

optuna.logging.set_verbosity(optuna.logging.ERROR)


def space(parameters: dict[str, dict[str, Any]], **base: Any) -> SearchSpace:
    return SearchSpace(parameters={path: Parameter(**p) for path, p in parameters.items()}, base=base)


def suggested(of: SearchSpace, *, seed: int = 0, count: int = 1) -> list[Assignment]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    found = []
    for _ in range(count):
        trial = study.ask()
        found.append(of.suggest(trial))
        study.tell(trial, 0.0)
    return found


FIELDS: dict[str, list[Any]] = {
    "model.name": ["simple", "deep", "resnet", "vgg"],
    "model.width": [4, 8, 16],
    "model.head": [[64], [256, 64], []],
    "data.shuffle": [True, False],
    "data.batch_size": [16, 32, 64],
    "optimizer.lr": [0.1, 0.01],
    "optimizer.nesterov": [False, True],
    "schedule.name": ["constant", "cosine", "step"],
}


@st.composite
def conditional_spaces(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Some fields in any order, each optionally conditional on values of one or two earlier ones."""
    paths = draw(st.permutations(sorted(FIELDS)))[: draw(st.integers(1, 5))]
    parameters: dict[str, dict[str, Any]] = {}
    for index, path in enumerate(paths):
        count = draw(st.integers(1, len(FIELDS[path])))
        when = {}
        for other in draw(st.lists(st.sampled_from(paths[:index]), max_size=2, unique=True)) if index else []:
            known = parameters[other]["values"]
            allowed = [known[i] for i in draw(st.sets(st.integers(0, len(known) - 1), min_size=1))]
            when[other] = allowed
        parameters[path] = {"values": FIELDS[path][:count], "when": when}
    order = draw(st.permutations(list(parameters)))
    return {path: parameters[path] for path in order}


def possible(parameters: dict[str, dict[str, Any]]) -> list[str]:
    """Every assignment from the definition of a condition: all products, each cut down to what is active in it."""
    found = set()
    for values in itertools.product(*(p["values"] for p in parameters.values())):
        active = dict(zip(parameters, values, strict=True))
        for _ in parameters:
            active = {
                path: value
                for path, value in active.items()
                if all(active.get(o, ()) in allowed for o, allowed in parameters[path]["when"].items() if o in active)
                and all(o in active for o in parameters[path]["when"])
            }
        found.add(json.dumps(active, sort_keys=True))
    return sorted(found)


@given(parameters=conditional_spaces())
@settings(max_examples=60, deadline=None)
def test_each_valid_assignment_is_listed_once(
    parameters: dict[str, dict[str, Any]],
) -> None:
    listed = [json.dumps(assignment, sort_keys=True) for assignment in space(parameters).assignments()]

    assert sorted(listed) == possible(parameters)


@given(parameters=conditional_spaces(), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_optunas_suggestions_are_listed_assignments(parameters: dict[str, dict[str, Any]], seed: int) -> None:
    any_space = space(parameters)

    for assignment in suggested(any_space, seed=seed, count=3):
        assert assignment in list(any_space.assignments())


@given(parameters=conditional_spaces())
@settings(max_examples=30, deadline=None)
def test_cardinality_counts_the_listed_assignments(parameters: dict[str, dict[str, Any]]) -> None:
    any_space = space(parameters)

    assert any_space.cardinality == len(list(any_space.assignments()))


def test_an_inactive_parameter_is_absent_and_its_field_unchanged() -> None:
    conditional = space(
        {
            "model.name": {"values": ["simple", "vgg"]},
            "model.width": {"values": [8], "when": {"model.name": "vgg"}},
        },
        model={"width": 16},
    )

    assert list(conditional.assignments()) == [{"model.name": "simple"}, {"model.name": "vgg", "model.width": 8}]
    assert conditional.config({"model.name": "simple"}).model.width == 16
    assert conditional.config({"model.name": "vgg", "model.width": 8}).model.width == 8


def test_a_condition_on_an_inactive_parameter_is_false() -> None:
    chain = space(
        {
            "model.name": {"values": ["simple", "vgg"]},
            "model.width": {"values": [8, 16], "when": {"model.name": "vgg"}},
            "model.dropout": {"values": [0.1], "when": {"model.width": 16}},
        }
    )

    assert {"model.name": "vgg", "model.width": 16, "model.dropout": 0.1} in list(chain.assignments())
    assert chain.cardinality == 3


def test_parameters_are_suggested_after_their_conditions() -> None:
    backwards = space(
        {
            "model.dropout": {"values": [0.1], "when": {"model.width": 16}},
            "model.width": {"values": [16], "when": {"model.name": "vgg"}},
            "model.name": {"values": ["vgg"]},
        }
    )

    assert list(backwards.parameters) == ["model.name", "model.width", "model.dropout"]


def test_independent_parameters_keep_the_order_of_the_file() -> None:
    paths = ["optimizer.lr", "data.batch_size", "model.name"]

    assert list(space({path: {"values": FIELDS[path]} for path in paths}).parameters) == paths


def test_a_list_survives_optuna_and_the_journal() -> None:
    heads = space({"model.head": {"values": [[64], [256, 64]]}})

    (assignment,) = suggested(heads)
    stored = json.loads(json.dumps(heads.encode(assignment)))

    assert assignment["model.head"] in ([64], [256, 64])
    assert heads.decode("model.head", stored["model.head"]) == assignment["model.head"]
    assert heads.config(assignment).model.head == tuple(assignment["model.head"])


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", None, [1]])
def test_a_stored_value_keeps_its_type(value: Any) -> None:
    any_space = space({"model.width": {"values": [8]}})
    any_space.parameters = {"model.width": Parameter(values=(value,))}

    decoded = any_space.decode("model.width", any_space.encode({"model.width": value})["model.width"])

    assert (decoded, type(decoded)) == (value, type(value))


RANGES = [
    ("schedule.step_size", {"min": 1, "max": 4}, IntDistribution(1, 4)),
    ("data.batch_size", {"min": 16, "max": 64, "distribution": "q_uniform", "q": 16}, IntDistribution(16, 64, step=16)),
    (
        "data.batch_size",
        {"min": 16, "max": 256, "distribution": "log_uniform_values"},
        IntDistribution(16, 256, log=True),
    ),
    ("optimizer.momentum", {"min": 0.5, "max": 0.9}, FloatDistribution(0.5, 0.9)),
    ("optimizer.weight_decay", {"min": 0, "max": 1}, FloatDistribution(0, 1)),
    (
        "optimizer.lr",
        {"min": 0.001, "max": 0.3, "distribution": "log_uniform_values"},
        FloatDistribution(0.001, 0.3, log=True),
    ),
    (
        "optimizer.lr",
        {"min": 0.1, "max": 0.5, "distribution": "q_uniform", "q": 0.1},
        FloatDistribution(0.1, 0.5, step=0.1),
    ),
    ("optimizer.lr", {"value": 0.1}, CategoricalDistribution([0.1])),
]


@pytest.mark.parametrize(("path", "parameter", "distribution"), RANGES)
def test_the_field_decides_between_integers_and_floats(
    path: str, parameter: dict[str, Any], distribution: optuna.distributions.BaseDistribution
) -> None:
    assert space({path: parameter}).distributions[path] == distribution


def test_a_range_of_integers_is_listed_with_both_ends() -> None:
    steps = space({"schedule.step_size": {"min": 1, "max": 4}})

    assert [a["schedule.step_size"] for a in steps.assignments()] == [1, 2, 3, 4]


def test_a_range_of_integers_with_a_step_is_listed_step_by_step() -> None:
    sizes = space({"data.batch_size": {"min": 16, "max": 64, "distribution": "q_uniform", "q": 16}})

    assert [a["data.batch_size"] for a in sizes.assignments()] == [16, 32, 48, 64]


def test_numbers_are_stored_as_numbers_and_lists_as_json() -> None:
    both = space({"optimizer.lr": {"min": 0.1, "max": 0.5}, "model.head": {"values": [[64], [256, 64]]}})

    stored = both.encode({"optimizer.lr": 0.2, "model.head": [256, 64]})

    assert stored["optimizer.lr"] == 0.2
    assert isinstance(stored["model.head"], str)
    assert both.distributions["model.head"].to_internal_repr(stored["model.head"]) == 1


@pytest.mark.parametrize(
    ("path", "parameter", "is_whole"),
    [
        ("optimizer.weight_decay", {"min": 0, "max": 1}, False),
        ("schedule.step_size", {"min": 1, "max": 9, "distribution": "q_uniform", "q": 2}, True),
        ("optimizer.weight_decay", {"min": 0, "max": 1, "distribution": "q_uniform", "q": 0.5}, False),
        ("optimizer.weight_decay", {"min": 0.0, "max": 1}, False),
        ("epochs", {"min": 1, "max": 3}, True),
    ],
)
def test_an_integer_range_of_an_integer_field_has_integers(
    path: str, parameter: dict[str, Any], is_whole: bool
) -> None:
    assert isinstance(space({path: parameter}).distributions[path], IntDistribution) == is_whole


def test_a_range_with_a_step_is_listed_without_rounding_noise() -> None:
    rates = space({"optimizer.lr": {"min": 0.1, "max": 0.5, "distribution": "q_uniform", "q": 0.1}})

    assert [a["optimizer.lr"] for a in rates.assignments()] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_continuous_range_has_no_cardinality_and_cannot_be_listed() -> None:
    rates = space({"optimizer.lr": {"min": 0.1, "max": 0.5}})

    assert rates.cardinality is None
    with pytest.raises(SpaceError, match="a grid needs `values`"):
        list(rates.assignments())


def test_a_configuration_is_the_base_updated_with_the_assignment() -> None:
    mixed = space(
        {"model.name": {"values": ["vgg", "deep"]}, "optimizer.lr": {"values": [0.5]}},
        epochs=3,
        model={"width": 8, "dropout": 0.2},
        optimizer={"momentum": 0.9, "lr": 0.1},
    )

    config = mixed.config({"model.name": "deep", "optimizer.lr": 0.5})

    assert (config.epochs, config.model.name, config.model.width, config.model.dropout) == (3, "deep", 8, 0.2)
    assert (config.optimizer.lr, config.optimizer.momentum) == (0.5, 0.9)


def test_the_base_is_not_changed_by_configurations_made_from_it() -> None:
    base = {"model": {"name": "deep", "width": 8}}
    changed = SearchSpace(parameters={"model.width": Parameter(values=(4,))}, base=base)

    changed.config({"model.width": 4})

    assert base == {"model": {"name": "deep", "width": 8}}


def test_a_fields_smallest_value_comes_from_the_space_or_the_base() -> None:
    sizes = space({"data.validation_size": {"values": [500, 200]}}, data={"train_size": 300})

    assert (sizes.min_value("data.validation_size"), sizes.min_value("data.train_size")) == (200, 300)


def test_a_parameter_is_described_by_values_scale_and_condition() -> None:
    described = space(
        {
            "schedule.name": {"values": ["constant", "step", "cosine"]},
            "data.shuffle": {"values": [True, False]},
            "schedule.step_size": {"min": 1, "max": 9, "when": {"schedule.name": "step"}},
            "schedule.min_lr": {
                "min": 0.0, "max": 0.1, "distribution": "q_uniform", "q": 0.05,
                "when": {"schedule.name": ["cosine", "step"], "data.shuffle": True},
            },
            "optimizer.lr": {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"},
        }
    ).describe()  # fmt: skip

    assert sorted(described) == [
        ("data.shuffle", "True | False", ""),
        ("optimizer.lr", "0.001 to 0.1 (numbers, log)", ""),
        (
            "schedule.min_lr",
            "0.0 to 0.1 (numbers, step 0.05)",
            "schedule.name is cosine or step and data.shuffle is True",
        ),
        ("schedule.name", "constant | step | cosine", ""),
        ("schedule.step_size", "1 to 9 (integers)", "schedule.name is step"),
    ]


START = space(
    {
        "optimizer.lr": {"min": 0.001, "max": 0.1},
        "data.shuffle": {"values": [True, False]},
        "data.batch_size": {"values": [16, 32]},
    }
)


@pytest.mark.parametrize(
    ("assignment", "errors"),
    [
        ({"optimizer.lr": 0.001, "data.shuffle": True, "data.batch_size": 16}, []),
        ({"optimizer.lr": 0.1}, []),
        ({"optimizer.lr": 0.2}, ["optimizer.lr: 0.2 is not between 0.001 and 0.1"]),
        ({"optimizer.lr": 0.0}, ["optimizer.lr: 0.0 is not between 0.001 and 0.1"]),
        ({"optimizer.lr": "fast"}, ["optimizer.lr: 'fast' is not between 0.001 and 0.1"]),
        (
            {"data.bach_size": 16, "data.batch_size": 64},
            [
                "data.bach_size: is not a parameter of this sweep: "
                "did you mean 'data.batch_size'? Known: optimizer.lr, data.shuffle, data.batch_size",
                "data.batch_size: 64 is not one of [16, 32]",
            ],
        ),
    ],
)
def test_every_error_of_a_start_is_reported(assignment: Assignment, errors: list[str]) -> None:
    assert assignment_errors(START, assignment) == errors


def test_the_error_of_a_space_has_a_line_per_error() -> None:
    with pytest.raises(SpaceError) as raised:
        space({"data.batch_size": {"values": [16, -1, 0]}, "optimizer.lr": {"values": [0.1, -3]}})

    assert str(raised.value) == "\n".join(raised.value.errors)
    assert [error.partition(":")[0] for error in raised.value.errors] == [
        "parameters.data.batch_size.values[1]", "parameters.data.batch_size.values[2]",
        "parameters.optimizer.lr.values[1]",
    ]  # fmt: skip
    assert all("data.batch_size:" not in error.partition(": ")[2] for error in raised.value.errors)
