"""An invalid file is rejected with every error, and nothing is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweep_fakes import Cli, tiny, write_yaml

from sweeps.core.errors import SpecError
from sweeps.files.ladder_file import is_ladder, load_ladder
from sweeps.files.settings import Resources, parse_duration
from sweeps.files.sweep import SweepSpec, load_spec

ROOT = Path(__file__).parents[3]


def with_base(**changes: Any) -> dict[str, Any]:
    return tiny(base=tiny()["base"] | changes)


def with_parameters(**parameters: Any) -> dict[str, Any]:
    return tiny(parameters={path.replace("__", "."): value for path, value in parameters.items()})


MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown key": (tiny(run_cpa=3), ("run_cpa", "did you mean 'run_cap'?")),
    "key of the base": (tiny(epochs=3), ("unknown key 'epochs'", "did you mean 'base.epochs'?")),
    "field of a block of the base": (tiny(lr=0.1), ("did you mean 'base.optimizer.lr'?",)),
    "block of the base": (tiny(model={"name": "vgg"}), ("did you mean 'base.model'?",)),
    "unknown key in a block": (tiny(limits={"timeuot": "2h"}), ("limits", "timeuot", "did you mean 'timeout'?")),
    "unknown field of the base": (with_base(epoch=3), ("base", "'epoch'", "did you mean 'epochs'?")),
    "unknown field in a block of the base": (
        with_base(optimizer={"learning_rate": 0.1}),
        ("base.optimizer", "'learning_rate'", "Known: name, lr"),
    ),
    "misspelled model in the base": (
        with_base(model={"name": "resnte"}),
        ("base.model", "'resnte'", "did you mean 'resnet'?", "Known: deep, lean, resnet, resnet18, simple"),
    ),
    "misspelled model among values": (
        with_parameters(model__name={"values": ["simple", "resnte"]}),
        ("parameters.model.name.values[1]", "'resnte'", "did you mean 'resnet'?"),
    ),
    "misspelled field": (
        with_parameters(model__nmae={"values": ["simple"]}),
        ("parameters.model.nmae", "unknown key 'nmae'", "did you mean 'name'?"),
    ),
    "misspelled block": (
        with_parameters(modle__name={"values": ["simple"]}),
        ("parameters.modle.name", "unknown key 'modle'", "did you mean 'model'?"),
    ),
    "a field below a value": (
        with_parameters(epochs__most={"values": [1]}),
        ("parameters.epochs.most", "no such field"),
    ),
    "impossible range": (
        with_parameters(optimizer__lr={"min": 0.3, "max": 0.1}),
        ("parameters.optimizer.lr", "min 0.3 is above max 0.1"),
    ),
    "range outside of what the field allows": (
        with_parameters(model__dropout={"min": 0.0, "max": 1.5}),
        ("parameters.model.dropout.max", "less than 1", "1.5"),
    ),
    "half a range": (with_parameters(optimizer__lr={"min": 0.3}), ("parameters.optimizer.lr", "both min and max")),
    "logarithmic range from 0": (
        with_parameters(optimizer__lr={"min": 0, "max": 1, "distribution": "log_uniform_values"}),
        ("parameters.optimizer.lr", "min above 0, not 0"),
    ),
    "range and values": (
        with_parameters(optimizer__lr={"min": 0.1, "max": 1, "values": [0.1]}),
        ("parameters.optimizer.lr", "give one of"),
    ),
    "unknown distribution": (
        with_parameters(optimizer__lr={"min": 0.1, "max": 1, "distribution": "gamma"}),
        ("parameters.optimizer.lr.distribution", "'log_uniform_values'", "'gamma'"),
    ),
    "empty values": (with_parameters(optimizer__lr={"values": []}), ("parameters.optimizer.lr", "values is empty")),
    "a value twice": (with_parameters(optimizer__lr={"values": [0.1, 0.1]}), ("parameters.optimizer.lr", "0.1 twice")),
    "condition on an unknown parameter": (
        with_parameters(model__name={"values": ["vgg"]}, model__width={"values": [8], "when": {"model.nam": "vgg"}}),
        ("parameters.model.width.when", "'model.nam'", "did you mean 'model.name'?"),
    ),
    "condition on an unknown value": (
        with_parameters(
            model__name={"values": ["vgg", "deep"]}, model__width={"values": [8], "when": {"model.name": ["vgs"]}}
        ),
        ("parameters.model.width.when.model.name", "'vgs'", "['vgg', 'deep']"),
    ),
    "condition that lists nothing": (
        with_parameters(
            model__name={"values": ["vgg", "deep"]}, model__width={"values": [8], "when": {"model.name": []}}
        ),
        ("parameters.model.width.when.model.name", "the list is empty", "['vgg', 'deep']"),
    ),
    "condition on a range": (
        with_parameters(
            model__dropout={"min": 0, "max": 0.5}, model__width={"values": [8], "when": {"model.dropout": 0.1}}
        ),
        ("parameters.model.width.when", "'model.dropout' is a range"),
    ),
    "conditions in a circle": (
        with_parameters(
            model__name={"values": ["vgg"], "when": {"model.width": 8}},
            model__width={"values": [8], "when": {"model.name": "vgg"}},
        ),
        ("parameters", "the conditions of model.name, model.width are circular"),
    ),
    "name outside of the runs folder": (tiny(name="../x"), ("name", "'../x'", "letters, digits")),
    "absolute name": (tiny(name="/abs"), ("name", "'/abs'", "letters, digits")),
    "empty name": (tiny(name=""), ("name", "''", "letters, digits")),
    "name of dots": (tiny(name=".."), ("name", "'..'", "letters, digits")),
    "no name": (tiny(name=None), ("name", "required")),
    "bad duration": (tiny(limits={"timeout": "2 fortnights"}), ("limits.timeout", "'2 fortnights'", "2h, 30m or 90s")),
    "no time at all": (tiny(limits={"timeout": "0s"}), ("limits.timeout", "greater than 0")),
    "epochs searched with early stopping": (
        tiny(parameters={"epochs": {"values": [1, 2]}}, early_terminate={"type": "asha"}),
        ("parameters.epochs", "early_terminate", "Set early_terminate.type to none"),
    ),
    "no validation images for the metric": (
        with_base(data={"train_size": 300}),
        ("metric.name", "val_accuracy", "base.data.validation_size"),
    ),
    "no validation images in one case": (
        with_parameters(data__validation_size={"values": [200, 0]}),
        ("metric.name", "val_accuracy", "validation_size"),
    ),
    "wrong goal": (
        tiny(metric={"name": "val_accuracy", "goal": "minimize"}),
        ("metric", "'minimize'", "val_accuracy", "'maximize'"),
    ),
    "a target in percent": (tiny(metric={"name": "val_accuracy", "target": 95}), ("metric", "Write target: 0.95")),
    "unknown metric": (tiny(metric={"name": "accuracy"}), ("metric.name", "'val_accuracy'", "'accuracy'")),
    "grid over a continuous range": (
        tiny(method="grid", parameters={"optimizer.lr": {"min": 0.1, "max": 1.0}}),
        ("parameters.optimizer.lr", "a grid needs `values`"),
    ),
    "endless grid": (
        tiny(method="grid", parameters={"seed": {"min": 0, "max": 10**6}}),
        ("parameters", "more than 100,000 combinations"),
    ),
    "no end": (tiny(run_cap=None), ("run_cap", "such as run_cap: 24")),
    "no trial": (tiny(run_cap=0), ("run_cap", "greater than or equal to 1", "0")),
    "unknown method": (tiny(method="bayse"), ("method", "'bayes', 'random' or 'grid'", "'bayse'")),
    "too many splits": (
        with_parameters(data__train_size={"min": 100, "max": 40_000}),
        ("parameters.data.train_size", "list at most 20"),
    ),
    "more images than there are": (
        with_base(data={"train_size": 49_000, "validation_size": 2_000}),
        ("base.data", "51000", "50000 training images"),
    ),
    "a start outside of the space": (
        tiny(start_with=[{"optimizer.lr": 7}]),
        ("start_with[0].optimizer.lr", "7 is not one of", "0.05"),
    ),
    "a start whose values are impossible together": (
        tiny(
            start_with=[{"data.train_size": 49_500, "data.validation_size": 600}],
            parameters={"data.train_size": {"values": [300, 49_500]}, "data.validation_size": {"values": [200, 600]}},
        ),
        ("start_with[0]:", "50100", "50000"),
    ),
    "a start with an unknown parameter": (
        tiny(start_with=[{"optimizer.lrr": 0.01}]),
        ("start_with[0].optimizer.lrr", "did you mean 'optimizer.lr'?"),
    ),
    "cores as a custom resource": (
        tiny(resources={"custom": {"cpu": 2}}),
        ("resources.custom", "'cpu' is not a custom resource", "resources.cpus_per_trial"),
    ),
    "memory as a custom resource": (tiny(resources={"custom": {"memory": 2}}), ("'memory' is not a custom resource",)),
    "a custom resource without a name": (tiny(resources={"custom": {" ": 2}}), ("resources.custom", "has no name")),
    "nothing of a custom resource": (tiny(resources={"custom": {"fast": 0}}), ("0 fast", "must be at least 0.0001")),
    "one and a half of a custom resource": (
        tiny(resources={"custom": {"fast": 1.5}}),
        ("1.5 fast", "must be an integer or a fraction below 1"),
    ),
    "one and a half GPUs": (
        tiny(resources={"gpus_per_trial": 1.5}),
        ("one GPU, not on 1.5", "a fraction"),
    ),
    "two GPUs": (tiny(resources={"gpus_per_trial": 2}), ("one GPU, not on 2", "Write 1")),
    "unknown placement": (tiny(resources={"placement": "wide"}), ("resources.placement", "'spread' or 'pack'")),
    "a ladder": (tiny(rungs=[]), ("is a ladder", "sweeps ladder")),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_wrong_file_ends_with_code_2_naming_key_and_remedy(case: str, tmp_path: Path, runs: Path, cli: Cli) -> None:
    content, words = MISTAKES[case]
    path = write_yaml(tmp_path, content)

    result = cli("run", path, "--runs", runs)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path}: ")
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr
    assert not runs.exists()


def test_custom_resources_without_a_cluster_are_rejected_before_the_start(
    tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    path = write_yaml(tmp_path, tiny(resources={"custom": {"fast": 2}}))

    result = cli("run", path, "--runs", runs)

    assert result.exit_code == 2
    assert "ray start --resources='{\"fast\": 2}'" in result.stderr
    assert not runs.exists()


TEXTS = {
    "not YAML": ("name: [tiny\nmethod: bayes", "line 2, column 7: invalid YAML"),
    "a key twice": ("name: a\nname: b", "line 2, column 1: invalid YAML: the key 'name' is used twice"),
    "a parameter twice": ("parameters:\n  a: {value: 1}\n  a: {value: 2}", "the key 'a' is used twice"),
    "a list": ("- name: a", "line 1: the file contains a list instead of a mapping"),
    "nothing": ("", "line 1: the file contains nothing"),
    "code": ("name: !!python/object/apply:os.getcwd []", "the tag !!python/object/apply:os.getcwd is not supported"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_file_without_a_yaml_mapping_is_refused_with_its_location(case: str, tmp_path: Path, cli: Cli) -> None:
    text, words = TEXTS[case]
    path = tmp_path / "sweep.yaml"
    path.write_text(text, encoding="utf-8")

    result = cli("run", path, "--runs", tmp_path / "runs")

    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_file_of_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")

    with pytest.raises(SpecError, match="cannot be read as text"):
        load_spec(path)


def test_the_error_of_a_missing_file_lists_the_existing_ones(tmp_path: Path, cli: Cli) -> None:
    there = write_yaml(tmp_path, tiny(), name="quick.yaml")

    result = cli("run", tmp_path / "quik.yaml", "--runs", tmp_path / "runs")

    assert result.exit_code == 2
    assert f"the file does not exist. The folder contains {there}" in result.stderr


def test_all_errors_of_a_file_are_reported_together(tmp_path: Path) -> None:
    parameters = {"model.name": {"values": ["resnte"]}, "model.wdith": {"values": [8]}}
    path = write_yaml(tmp_path, tiny(parameters=parameters))

    with pytest.raises(SpecError) as raised:
        load_spec(path)

    assert len(raised.value.errors) == 2


FILE = """name: tiny
method: random
run_cap: 4
base:
  epochs: 2
  data: {train_size: 300, validation_size: 200}
parameters:
  optimizer.lr: {values: [0.1, 0.2]}
"""

LINES: dict[str, tuple[tuple[str, str], str, tuple[str, ...]]] = {
    "empty base": (("base:\n  epochs: 2\n  data: {train_size: 300, validation_size: 200}", "base:"), "4: base",
                   ("empty",)),
    "a date for a name": (("name: tiny", "name: 2024-06-01"), "1: name", ("date", "'2024-06-01' with quotes")),
    "a padded name": (("name: tiny", "name: 007"), "1: name", ("'007' with quotes",)),
    "a number for a name": (("name: tiny", "name: 1e5"), "1: name", ("a string", "in quotes")),
    "one value for a list": (("values: [0.1, 0.2]", "values: 0.1"), "8: parameters.optimizer.lr.values",
                           ("write [0.1]",)),
    "a list alone": (
        ("{values: [0.1, 0.2]}", "[0.1, 0.2]"),
        "8: parameters.optimizer.lr", ("Write optimizer.lr: {values: [0.1, 0.2]}",),
    ),
    "a value alone": (("{values: [0.1, 0.2]}", "0.1"), "8: parameters.optimizer.lr", ("{value: 0.1}",)),
    "nested options": (
        ("optimizer.lr: {values: [0.1, 0.2]}", "options: {layers: [32, 64]}"),
        "8: parameters.options", ("Write model.options.layers: {values: [32, 64]}",),
    ),
    "a list for an option": (
        ("epochs: 2", "model: {name: 'a:B', options: {layers: [32, 64]}}"),
        "5: base.model.options.layers", ("one value, not a list", "`model.options.layers: {values: [32, 64]}`"),
    ),
    "a list in the base": (
        ("epochs: 2", "optimizer: {lr: [0.1, 0.2]}"),
        "5: base.optimizer.lr", ("`optimizer.lr: {values: [0.1, 0.2]}` under parameters",),
    ),
    "a constant in the base": (("epochs: 2", "epochs: {value: 4}"), "5: base.epochs", ("write 4 without `value`",)),
    "padded": (("run_cap: 4", "run_cap: 010"), "3: run_cap", ("Write 10",)),
    "sixties": (("epochs: 2", "epochs: 1:30"), "5: base.epochs", ("Write 90", "1m30s")),
    "half a step": (
        ("optimizer.lr: {values: [0.1, 0.2]}", "epochs: {min: 1, max: 11, q: 2.5}"), "8: parameters.epochs.q", ("2.5",)
    ),
    "a step of a logarithm": (
        ("{values: [0.1, 0.2]}", "{min: 0.1, max: 1, distribution: log_uniform_values, q: 0.1}"),
        "8: parameters.optimizer.lr", ("has no step q",),
    ),
    "a step of a list": (("0.2]}", "0.2], q: 0.1}"), "8: parameters.optimizer.lr", ("q needs a range",)),
    "a step past the end": (
        ("{values: [0.1, 0.2]}", "{min: 0.1, max: 0.2, q: 0.5}"), "8: parameters.optimizer.lr", ("only min 0.1",)
    ),
    "values of mixed types": (
        ("optimizer.lr: {values: [0.1, 0.2]}", "epochs: {values: ['3', many]}"),
        "8: parameters.epochs.values[1]", ("'many'",),
    ),
    "one value in two ways": (("[0.1, 0.2]", "[1e-3, 0.001]"), "8: parameters.optimizer.lr", ("0.001 twice",)),
    "one value in two types": (
        ("optimizer.lr: {values: [0.1, 0.2]}", "data.train_size: {values: ['1000', 1000]}"),
        "8: parameters.data.train_size.values", ("'1000' and 1000 are equal for this field",),
    ),
    "a field without its block": (
        ("optimizer.lr", "bias_lr_factor"), "8: parameters.bias_lr_factor",
        ("did you mean 'optimizer.bias_lr_factor'?",),
    ),
    "an argument of an operation": (
        ("train_size: 300,", "augmentation: [normalize, {pad: {pixel: 4}}],"),
        "6: base.data.augmentation", ("pad", "'pixel'", "did you mean 'pixels'?"),
    ),
    "seeds with early stopping": (
        ("optimizer.lr: {values: [0.1, 0.2]}", "seed: {values: [0, 1]}\nearly_terminate: {type: asha}"),
        "8: parameters.seed", ("replicates: {top: 3, seeds: 3}",),
    ),
    "a start off the steps": (
        ("optimizer.lr: {values: [0.1, 0.2]}", "epochs: {min: 1, max: 9, q: 2}\nstart_with: [{epochs: 4}]"),
        "9: start_with[0].epochs", ("not on a step", "The nearest value is 5"),
    ),
    "a start of an inactive parameter": (
        ("[0.1, 0.2]}", "[0.1, 0.2]}\n  epochs: {values: [1, 2], when: {optimizer.lr: 0.2}}\n"
         "start_with: [{optimizer.lr: 0.1, epochs: 1}]"),
        "10: start_with[0].epochs", ("only if optimizer.lr is 0.2", "here it is 0.1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LINES)
def test_an_error_has_its_line_and_what_to_write(case: str, tmp_path: Path) -> None:
    (before, after), line, words = LINES[case]
    assert before in FILE
    path = tmp_path / "sweep.yaml"
    path.write_text(FILE.replace(before, after), encoding="utf-8")

    with pytest.raises(SpecError) as raised:
        load_spec(path)

    (error,) = raised.value.errors
    assert error.startswith(f"line {line}: ")
    assert [word for word in words if word not in error] == []


def test_errors_of_all_kinds_are_sorted_by_line(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    text = FILE.replace("tiny", "007").replace("random", "radnom").replace("run_cap: 4", "run_cap: many")
    text = text.replace("epochs: 2", "epochs: 0\n  optimizer: {lrr: 1, lr: -1}")
    text += "  model.nmae: {values: [x]}\n  data.batch_size: [1, 2]\nstart_with: [{foo: 1}, {bar: 2}]\nmore: 1\n"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SpecError) as raised:
        load_spec(path)

    assert [error.split(": ")[0:2] for error in raised.value.errors] == [
        ["line 1", "name"], ["line 2", "method"], ["line 3", "run_cap"], ["line 5", "base.epochs"],
        ["line 6", "base.optimizer.lrr"], ["line 6", "base.optimizer.lr"],
        ["line 10", "parameters.model.nmae"],
        ["line 11", "parameters.data.batch_size"], ["line 12", "start_with[0].foo"], ["line 12", "start_with[1].bar"],
        ["line 13", "more"],
    ]  # fmt: skip


def test_values_are_converted_to_the_type_of_their_field(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    text = FILE.replace("[0.1, 0.2]", "[1e-3, '0.01', 1]").replace("epochs: 2", "optimizer: {weight_decay: 5e-4}")
    text += "  data.train_size: {values: ['1000', 2e3]}\n  model.width: {min: 1e1, max: '20', q: 5.0}\n"
    path.write_text(text + "start_with: [{optimizer.lr: 1e-3, data.train_size: '2000'}]\n", encoding="utf-8")

    space = load_spec(path, overrides=["base.optimizer.momentum=9e-1"]).space

    assert space.parameters["optimizer.lr"].values == (0.001, 0.01, 1.0)
    assert space.base["optimizer"] == {"weight_decay": 0.0005, "momentum": 0.9}
    for path_of, values in {"data.train_size": [1000, 2000], "model.width": [10, 15, 20]}.items():
        found = list(space.finite_values(path_of) or ())
        assert [(value, type(value)) for value in found] == [(value, int) for value in values]


def test_constants_allow_early_stopping_and_integer_bounds_give_integers() -> None:
    early = {"type": "asha"}
    constant = SweepSpec.model_validate(tiny(early_terminate=early, parameters={"epochs": {"value": 4}}))
    base = tiny()["base"] | {"model": {"name": "nets:Tiny"}}
    option = SweepSpec.model_validate(tiny(base=base, parameters={"model.options.depth": {"min": 1, "max": 4}}))

    assert constant.space.config({"epochs": 4}).epochs == 4
    assert list(option.space.finite_values("model.options.depth") or ()) == [1, 2, 3, 4]


def test_the_goal_of_a_metric_follows_from_its_name() -> None:
    assert SweepSpec.model_validate(tiny(metric={"name": "val_loss"})).metric.goal == "minimize"
    assert SweepSpec.model_validate(tiny(metric={"name": "train_accuracy"})).metric.goal == "maximize"


NEVER: dict[str, tuple[dict[str, Any], str]] = {
    "early stopping after the end": (tiny(early_terminate={"type": "hyperband", "min_epochs": 2}), "no trial is ever"),
    "a median of too few": (tiny(early_terminate={"type": "median"}, run_cap=5), "5 complete trials"),
    "a rising rate": (
        with_base(schedule={"name": "cosine", "min_lr": 0.04}), "0.04 is above optimizer.lr 0.01"
    ),
    "a start in a grid": (tiny(method="grid", start_with=[{"optimizer.lr": 0.01}]), "no effect in a grid"),
    "more starts than trials": (
        tiny(run_cap=1, start_with=[{"optimizer.lr": 0.01}, {"optimizer.lr": 0.02}]), "lists 2"
    ),
    "the luckiest seed": (tiny(parameters={"seed": {"values": [0, 1]}}), "use a grid, which averages seeds"),
}  # fmt: skip


@pytest.mark.parametrize("case", NEVER)
def test_a_key_without_effect_is_a_warning(case: str) -> None:
    content, words = NEVER[case]

    (warning,) = SweepSpec.model_validate(content).warnings()

    assert words in warning


OVERRIDES = {
    "no value": ("run_cap", "'run_cap' is invalid. Write path=value"),
    "no path": ("=3", "'=3' is invalid. Write path=value"),
    "unknown key": ("run_cpa=3", "did you mean 'run_cap'?"),
    "wrong value": ("run_cap=many", "run_cap"),
    "not YAML": ("run_cap=[3", "--set run_cap"),
    "unknown field": ("base.optimizer.lrr=3", "base.optimizer.lrr: unknown key 'lrr'"),
    "half a parameter": ("parameters.optimizer.lr.min=3", "parameters.optimizer.lr.min"),
}


@pytest.mark.parametrize("case", OVERRIDES)
def test_a_wrong_override_ends_with_code_2(case: str, tmp_path: Path, cli: Cli) -> None:
    override, words = OVERRIDES[case]
    path = write_yaml(tmp_path, tiny())

    result = cli("run", path, "--set", override, "--runs", tmp_path / "runs")

    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_an_override_sets_nested_keys(tmp_path: Path) -> None:
    path = write_yaml(tmp_path, tiny())

    spec = load_spec(
        path,
        overrides=["run_cap=7", "base.data.batch_size=128", "parameters.model.width={values: [4, 8]}"],
    )

    assert spec.run_cap == 7
    assert spec.base["data"]["batch_size"] == 128
    assert spec.base["data"]["train_size"] == 300
    assert spec.parameters["model.width"].values == (4, 8)
    assert "optimizer.lr" in spec.parameters


def test_an_override_may_add_the_first_parameter(tmp_path: Path) -> None:
    path = write_yaml(tmp_path, tiny() | {"parameters": None})

    spec = load_spec(path, overrides=["parameters.model.width={values: [4, 8]}"])

    assert list(spec.parameters) == ["model.width"]


def test_another_model_in_an_override_resets_the_models_fields(tmp_path: Path) -> None:
    path = write_yaml(tmp_path, tiny(base=tiny()["base"] | {"model": {"name": "simple", "activation": "relu"}}))

    spec = load_spec(path, overrides=["base.model.name=deep"])

    assert spec.base["model"] == {"name": "deep"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("1h30m", 5400), ("90s", 90), ("1h 5m 2s", 3902), ("5min", 300), ("0.5h", 1800), (45, 45)],
)
def test_durations_are_parsed(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_step_schedule_without_effect_is_a_warning(tmp_path: Path, cli: Cli) -> None:
    content = with_base(schedule={"name": "step", "step_size": 2})
    path = write_yaml(tmp_path, content)

    result = cli("plan", path, "--no-probe")

    assert result.exit_code == 0
    assert "warning:" in result.stderr
    assert "base.schedule.step_size: 2 with epochs 2: the step schedule never takes effect" in result.stderr


def test_a_searched_step_size_without_effect_is_a_warning() -> None:
    parameters = {"schedule.name": {"values": ["constant", "step"]}, "schedule.step_size": {"min": 1, "max": 4}}

    warnings = SweepSpec.model_validate(tiny(parameters=parameters)).warnings()

    assert warnings == ["parameters.schedule.step_size: 4 with epochs 2: the step schedule never takes effect"]


def test_the_keys_of_a_definition_never_change() -> None:
    spec = SweepSpec.model_validate(
        tiny(
            base={"epochs": 2, "data": {"validation_size": 200}, "model": {"head": (64,)}},
            parameters={"optimizer.lr": {"min": 0.1, "max": 0.2}, "model.width": {"values": [4, 8]}},
        )
    )

    assert spec.definition() == {
        "base.epochs": 2,
        "base.data.validation_size": 200,
        "base.model.head": [64],
        "metric.name": "val_accuracy",
        "metric.goal": "maximize",
        "parameters.optimizer.lr": {"min": 0.1, "max": 0.2},
        "parameters.model.width": {"values": [4, 8]},
    }


def test_a_parameter_of_another_schedule_is_a_warning() -> None:
    (warning,) = SweepSpec.model_validate(tiny(parameters={"schedule.gamma": {"min": 0.1, "max": 0.9}})).warnings()

    assert warning == (
        "parameters.schedule.gamma: has no effect, because schedule.name is never `step` (it is constant)"
    )


def test_every_parameter_without_effect_is_warned_of() -> None:
    parameters = {
        "optimizer.name": {"values": ["adam", "adamw"]},
        "optimizer.lr": {"values": [0.1, 0.2]},
        "optimizer.momentum": {"values": [0.0, 0.9]},
        "schedule.gamma": {"values": [0.1, 0.2]},
    }

    found = SweepSpec.model_validate(tiny(parameters=parameters)).warnings()

    assert found == [
        "parameters.optimizer.momentum: has no effect, because optimizer.name is never `sgd` or `muon` "
        "(it is adam, adamw)",
        "parameters.schedule.gamma: has no effect, because schedule.name is never `step` (it is constant)",
    ]


def test_a_parameter_that_another_network_uses_is_a_warning() -> None:
    base = {"epochs": 2, "data": {"validation_size": 200}}
    (warning,) = SweepSpec.model_validate(tiny(base=base, parameters={"model.plan": {"value": [8, "M"]}})).warnings()

    assert warning == "parameters.model.plan: has no effect, because model.name is never `vgg` (it is simple)"


def test_options_of_a_custom_network_are_no_warning() -> None:
    base = {"epochs": 2, "model": {"name": "nets:Tiny"}, "data": {"validation_size": 200}}

    spec = SweepSpec.model_validate(tiny(base=base, parameters={"model.options.depth": {"values": [1, 2]}}))

    assert spec.warnings() == []


@pytest.mark.parametrize("file", ["quick", "search"])
def test_the_experiments_have_no_warnings(file: str) -> None:
    spec = load_spec(Path(__file__).parents[3] / "experiments" / f"{file}.yaml")

    assert (spec.name, spec.warnings()) == (file, [])


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.name)
def test_a_spec_written_as_yaml_is_read_back_equal(path: Path, tmp_path: Path) -> None:
    again = tmp_path / path.name
    if is_ladder(yaml.safe_load(path.read_text(encoding="utf-8"))):
        # Two fifths of 10 and half of it are integers, as a ladder's scale requires.
        ladder = load_ladder(path, overrides=["base.epochs=10"])
        again.write_text(ladder.text, encoding="utf-8")
        assert load_ladder(again) == ladder
    else:
        spec = load_spec(path, overrides=["base.epochs=3", "limits.timeout=2h"])
        again.write_text(spec.to_yaml(), encoding="utf-8")
        assert load_spec(again) == spec
        assert load_spec(again).definition() == spec.definition()


def test_resources_and_placement_do_not_change_the_study() -> None:
    resources = {"cpus_per_trial": 2, "gpus_per_trial": 0.5, "custom": {"fast": 1}, "placement": "spread"}
    plain, spread = (SweepSpec.model_validate(tiny(**more)) for more in ({}, {"resources": resources}))

    assert spread.definition() == plain.definition()
    stored = json.loads(json.dumps(spread.resources.model_dump(mode="json")))
    assert Resources.model_validate(stored) == spread.resources
