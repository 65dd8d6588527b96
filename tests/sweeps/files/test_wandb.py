"""A sweep file of W&B is read as it is, and what it has no equal for is named once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from sweep_fakes import Cli, tiny

from sweeps.core.errors import SpecError
from sweeps.driver.estimate import preview
from sweeps.files.distributions import distribution_of, suggest
from sweeps.files.foreign import PAGE
from sweeps.files.metric_goal import is_better_if_larger
from sweeps.files.parameter import Parameter
from sweeps.files.space import SearchSpace
from sweeps.files.sweep import SweepSpec, load_spec
from sweeps.files.wandb import TRIALS, Translation, is_wandb, translated
from sweeps.files.yaml_file import read_yaml
from sweeps.tasks.image_names import metric_of_name, path_of_name
from sweeps.tasks.program.config import ProgramConfig
from sweeps.tasks.registry import read_config

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "tests/fixtures/wandb").glob("*.yaml"))


def translation_of(text: str, tmp_path: Path, name: str = "file.yaml") -> Translation:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    content = read_yaml(path)
    assert is_wandb(content)
    return translated(content, stem=path.stem)


def parameters_of(text: str, tmp_path: Path) -> dict[str, Any]:
    found = translation_of(f"program: train.py\nmethod: random\nparameters:\n{text}", tmp_path)
    assert found.errors == {}
    parameters: dict[str, Any] = found.content["parameters"]
    return parameters


def leaves(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, parameter in parameters.items():
        if "parameters" in parameter:
            yield from leaves(parameter["parameters"], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", parameter


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, into which the scripts of the files are put."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_scripts(content: Mapping[str, Any]) -> None:
    """Write what the command of a file runs, relative to the working directory, as empty files."""
    words = [str(word) for word in (content.get("program", ""), *content.get("command", ()))]
    modules = [word.replace(".", "/") + ".py" for word in words if word.startswith(("project.", "scripts."))]
    for name in (*modules, *(word for word in words if word.endswith((".py", ".sh")))):
        script = Path.cwd() / name
        script.resolve().parent.mkdir(parents=True, exist_ok=True)
        script.touch(mode=0o755)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_can_be_planned_and_gives_each_parameter_a_value(path: Path, project: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    write_scripts(content)

    spec = load_spec(path)
    (first, *_) = preview(spec, 1)

    expected = [name for name, _ in leaves(content["parameters"])]
    assert len(spec.parameters) == len(expected)
    if spec.program is not None:
        given = list(first.arguments())
        assert [name for name in expected if not any(f"{each}.".startswith(f"{name}.") for each in given)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_parameter_of_a_file_is_understood(path: Path) -> None:
    content = read_yaml(path)
    expected = dict(leaves(yaml.safe_load(path.read_text(encoding="utf-8"))["parameters"]))

    found = translated(content, stem=path.stem)

    assert (is_wandb(content), content.mistakes, found.errors) == (True, {}, {})
    parameters = found.content["parameters"]
    is_program = "program" in found.content
    assert list(parameters) == [name if is_program else path_of_name(name) or name for name in expected]
    trial = optuna.create_study().ask()
    for name, written in zip(parameters, expected.values(), strict=True):
        parameter = Parameter.model_validate(parameters[name])
        suggest(trial, name, distribution_of(parameter, is_integer=False))
        if "values" in written:
            assert len(parameter.choices) == len({str(number_or_text(value)) for value in written["values"]})


def number_or_text(value: Any) -> Any:
    """Return a number for `1e-1`, which YAML 1.1 reads as a text."""
    return float(value) if isinstance(value, str) and value[0].isdigit() else value


def test_there_are_more_than_forty_files() -> None:
    assert len(FILES) == 48


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith(("usual", "no-"))], ids=str)
def test_a_file_with_usual_names_searches_the_built_in_networks(path: Path) -> None:
    spec = load_spec(path)

    assert spec.space.distributions
    assert len([note for note in spec.notes if "→ optimizer.lr" in note]) == 1
    assert spec.metric.name in ("val_accuracy", "val_loss")


def test_no_file_of_this_project_is_taken_for_one_of_wandb() -> None:
    files = [path for path in (ROOT / "experiments").rglob("*.yaml") if "rungs" not in path.read_text(encoding="utf-8")]

    assert files
    assert [path for path in files if is_wandb(read_yaml(path))] == []
    assert not is_wandb(tiny())


USUAL = """\
method: bayes
project: demo
entity: team
metric: {name: val_acc}
early_terminate: {type: hyperband, max_iter: 27, s: 2}
parameters:
  learning_rate: {min: 0, max: 0.1}
  batch_size: {values: [32, 64]}
  optimizer: {values: [SGD, Adam]}
  epochs: {value: 27}
"""


def test_what_a_file_lacks_or_names_otherwise_is_said_once(tmp_path: Path) -> None:
    found = translation_of(USUAL, tmp_path)

    assert found.content == {
        "name": "file",
        "method": "bayes",
        "run_cap": TRIALS,
        "metric": {"name": "val_accuracy"},
        "early_terminate": {"type": "asha", "min_epochs": 3, "reduction_factor": 3},
        "base": {"data": {"validation_size": 5000}},
        "parameters": {
            "optimizer.lr": {"min": 1e-7, "max": 0.1},
            "data.batch_size": {"values": [32, 64]},
            "optimizer.name": {"values": ["sgd", "adam"]},
            "epochs": {"value": 27},
        },
    }
    assert [line.partition(": ")[0] for line in found.lines()] == [
        *("not used here", "method", "parameters.learning_rate.min", "parameters"),
        *("metric.name", "run_cap", "early_terminate", "base"),
    ]
    assert found.lines()[0] == "not used here: project, entity"


def test_the_command_line_prints_the_differences_in_one_block(tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "usual.yaml"
    file.write_text(USUAL, encoding="utf-8")

    result = cli("plan", file, "--no-probe")

    assert result.exit_code == 0
    assert result.stderr.startswith(f"note: {file} was read as a W&B sweep file:\n  not used here: project, entity\n")
    assert result.stderr.count("note: ") == 1
    assert "20 trials by bayes search, stopped early by asha" in result.stdout


def test_an_error_has_the_line_of_the_file_and_all_come_together(tmp_path: Path) -> None:
    text = USUAL.replace("max: 0.1", "max: -1").replace("Adam", "rmsprop").replace("bayes", "custom")
    path = tmp_path / "file.yaml"
    path.write_text(
        f"{text}  depth: {{values: [1]}}\n  inner: {{parameters: {{size: {{value: 2}}}}}}\n", encoding="utf-8"
    )

    with pytest.raises(SpecError) as raised:
        load_spec(path)

    words = [error.split(": ")[:2] for error in raised.value.errors]
    assert words == [
        ["line 1", "method"],
        ["line 7", "parameters.optimizer.lr"],
        ["line 9", "parameters.optimizer.values.1"],
        ["line 11", "parameters.depth"],
    ]
    assert "have no depth, inner.size" in raised.value.errors[3]


def test_a_complete_file_with_a_program_is_read_without_a_word(project: Path, cli: Cli) -> None:
    (project / "train.py").touch()
    (project / "theirs.yaml").write_text("program: train.py\nmethod: bayes\nparameters: {a: {min: 0.0, max: 1}}\n")

    assert cli("init", "mine.yaml", "--from", "theirs.yaml").exit_code == 0

    assert len(load_spec(project / "theirs.yaml").notes) == 3
    assert load_spec(project / "mine.yaml").notes == ()


def test_an_override_is_read_as_if_it_stood_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(USUAL, encoding="utf-8")

    spec = load_spec(
        path, overrides=["run_cap=3", "limits.timeout=2h", "base.epochs=2", "parameters.learning_rate={values: [0.1]}"]
    )

    assert (spec.run_cap, spec.parameters["optimizer.lr"].choices) == (3, (0.1,))
    assert not any(note.startswith("run_cap") for note in spec.notes)


MEANINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "integers": ("{min: 1, max: 8}", {"min": 1, "max": 8, "distribution": "int_uniform"}),
    "numbers": ("{min: 1.0, max: 8.0}", {"min": 1.0, "max": 8.0}),
    "steps of 1": (
        "{min: 0, max: 8, distribution: q_uniform}",
        {"min": 0, "max": 8, "distribution": "q_uniform", "q": 1},
    ),
    "multiples of a step": (
        "{min: 1, max: 100, distribution: q_uniform, q: 10}",
        {"min": 10, "max": 100, "distribution": "q_uniform", "q": 10},
    ),
    "no multiple within": (
        "{min: 0.2, max: 0.8, distribution: q_uniform, q: 1}",
        {"min": 0, "max": 1, "distribution": "q_uniform", "q": 1},
    ),
    "a value twice in a random search": (
        "{values: [0, 0, 1, 2]}",
        {"values": [0, 1, 2], "probabilities": [0.5, 0.25, 0.25]},
    ),
}


@pytest.mark.parametrize("case", MEANINGS)
def test_a_parameter_means_what_it_means_to_wandb(case: str, tmp_path: Path) -> None:
    written, meant = MEANINGS[case]

    assert parameters_of(f"  x: {written}\n", tmp_path) == {"x": meant}


def test_a_program_of_a_command_is_its_script_module_or_executable(project: Path) -> None:
    commands = {
        "module": ("project.cli.train", "${env} OMP_NUM_THREADS=1 ${interpreter} -m ${program} ${args}"),
        "shell-script": ("./bin/train.sh", "${program} ${args}"),
        "tool": ("uv", "${env} ${program} run trainer fit ${args_no_hyphens}"),
        "launch-with-script": ("train.py", "srun --gres=gpu:1 --time 04:00:00 python3 ${program} ${args_json}"),
    }

    for stem, (program, command) in commands.items():
        path = ROOT / f"tests/fixtures/wandb/{stem}.yaml"
        found = translated(read_yaml(path), stem=stem)
        assert (found.content["program"], " ".join(found.content["command"])) == (program, command)
        assert f"program: {program}, from command" in found.lines()


def test_a_name_that_begins_another_one_keeps_its_value(project: Path) -> None:
    (project / "train.py").touch()

    (first, *_) = preview(load_spec(ROOT / "tests/fixtures/wandb/hydra-groups.yaml"), 1)

    assert isinstance(first, ProgramConfig)
    given, paths = first.arguments(), first.dotted()
    assert given["optimizer"] in ("sgd", "adam")
    assert given["optimizer.config.learning_rate"] == pytest.approx(0.05, abs=0.05)
    assert paths["arg.optimizer"] == given["optimizer"]
    assert paths["optimizer.config.learning_rate"] == given["optimizer.config.learning_rate"]
    assert read_config(first.model_dump_json()).config_id() == first.config_id()


def test_three_names_that_begin_each_other_are_refused(project: Path) -> None:
    (project / "train.py").touch()
    text = "program: train.py\nmethod: grid\nmetric: {name: a}\nparameters:\n"
    (project / "a.yaml").write_text(text + "".join(f"  {name}: {{values: [1]}}\n" for name in ("a", "a.b", "a.b.c")))

    with pytest.raises(SpecError, match=r"arg\.a: cannot be combined with arg\.a\.b"):
        load_spec(project / "a.yaml")


def test_keys_of_other_tools_are_named_and_misspelt_ones_refused(tmp_path: Path) -> None:
    path = ROOT / "tests/fixtures/wandb/empty-and-other-keys.yaml"

    found = translated(read_yaml(path), stem="file")
    misspelt = translation_of("program: a.py\nmethod: grid\nparamters: {}\nparameters: {a: {value: 1}}\n", tmp_path)

    assert found.lines()[0] == "not used here: x-rate, job, scheduler, queue"
    assert found.content.keys() == {"name", "program", "method", "metric", "run_cap", "parameters"}
    assert "paramters" in misspelt.content


def test_ranges_of_integers_are_named_for_programs(tmp_path: Path) -> None:
    ranges = "{a: {min: 0, max: 1}, b: {min: 0.0, max: 1}, c: {min: 1, max: 3, distribution: uniform}}"
    text = f"program: a.py\nmethod: random\nmetric: {{name: x, goal: MAX}}\nparameters: {ranges}\n"

    lines = translation_of(text, tmp_path).lines()

    assert [line for line in lines if "integers" in line] == [
        "parameters: a: integers, as in W&B, because min and max are. For real numbers write them with a point: 0.0"
    ]
    assert "metric.goal: maximize instead of 'MAX'" in lines


def test_json_with_tabs_is_read_and_tabs_in_yaml_are_explained(project: Path) -> None:
    (project / "train.py").touch()
    text = (
        '{\n\t"program": "train.py", "method": "grid",\n\t"metric": {"name": "x"}, "parameters": {"a": {"value": 1}}}'
    )
    (project / "a.json").write_text(text)
    (project / "a.yaml").write_text("program: train.py\nparameters:\n\ta: {value: 1}\n")

    assert load_spec(project / "a.json").parameters["a"].value == 1
    with pytest.raises(SpecError, match="line 3, column 1: invalid YAML: a tab"):
        load_spec(project / "a.yaml")


WITHOUT_SCRIPT = {
    "program: trian.py": "line 1: program: there is no file 'trian.py'",
    "program: train": "Did you mean 'train.py'?",
    'command: ["${interpreter}", -m, pkg.train]': "line 1: program: there is no module 'pkg.train'",
    "command: [./run.sh]": "line 1: program: ./run.sh is not executable. Run `chmod +x ./run.sh`",
    'program: train.py\ncommand: ["${interpreter}", -m, pkg.train]': "line 1: program: there is no module 'pkg.train'",
    "program: train.py\ncommand: [python, other.py]": "line 1: program: there is no file 'other.py'",
    'command: ["${env}", "${interpreter}", "${args}"]': "line 1: command: names no script. Write program: train.py",
}


@pytest.mark.parametrize("key", WITHOUT_SCRIPT)
def test_a_script_that_cannot_run_is_the_only_error(key: str, project: Path) -> None:
    (project / "train.py").touch()
    (project / "run.sh").touch()
    text = f"{key}\nmethod: random\nmetric: {{name: wer, goal: minimize}}\nparameters: {{beam: {{min: 1, max: 9}}}}\n"
    (project / "a.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(SpecError) as raised:
        load_spec(project / "a.yaml")

    assert len(raised.value.errors) == 1
    assert WITHOUT_SCRIPT[key] in raised.value.errors[0]


def test_exponents_that_look_like_values_are_read_as_wandb_does_and_reported(tmp_path: Path) -> None:
    text = "program: a.py\nmethod: random\nparameters: {lr: {distribution: log_uniform, min: 1e-6, max: 1e-3}}\n"
    found = translation_of(text, tmp_path)

    parameter = Parameter.model_validate(found.content["parameters"]["lr"])

    assert parameter.min == pytest.approx(math.exp(1e-6))
    assert "parameters.lr: log_uniform takes exponents of e" in "\n".join(found.lines())


def test_nested_parameters_become_dotted_and_keep_their_lines(tmp_path: Path) -> None:
    text = "program: a.py\nmethod: grid\nparameters:\n  model:\n    parameters:\n      depth: {values: [1]}\n"

    found = translation_of(text, tmp_path)

    assert found.content["parameters"] == {"model.depth": {"values": [1]}}
    assert found.renamed == {"parameters.model.depth": "parameters.model.parameters.depth"}


STOPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "from the first milestone": ("min_iter: 3", {"min_epochs": 3, "reduction_factor": 3}),
    "from the last": ("max_iter: 27, s: 2, eta: 3", {"min_epochs": 3, "reduction_factor": 3}),
    "the last takes precedence": ("min_iter: 5, max_iter: 50, s: 2, eta: 5", {"min_epochs": 2, "reduction_factor": 5}),
    "more steps than there are": ("max_iter: 9, s: 5", {"min_epochs": 1, "reduction_factor": 3}),
    "without a number of steps": ("max_iter: 81, strict: true", {"min_epochs": 1, "reduction_factor": 3}),
    "a factor with a fraction": ("min_iter: 2, eta: 1.5", {"min_epochs": 2, "reduction_factor": 2}),
}


@pytest.mark.parametrize("case", STOPPED)
def test_hyperband_becomes_asha_with_its_milestones(case: str, tmp_path: Path) -> None:
    keys, rule = STOPPED[case]
    text = f"method: random\nearly_terminate: {{type: hyperband, {keys}}}\nparameters: {{lr: {{values: [0.1]}}}}\n"

    found = translation_of(text, tmp_path)

    assert found.content["early_terminate"] == {"type": "asha", **rule}
    (line,) = [line for line in found.lines() if line.startswith("early_terminate")]
    assert ("strict: true" in line) == ("strict: true" not in keys)


@pytest.mark.parametrize(("keys", "key"), [("s: 2", "type"), ("max_iter: 27, s: 0", "s"), ("min_iter: x", "min_iter")])
def test_hyperband_without_numbers_is_refused(keys: str, key: str, tmp_path: Path) -> None:
    text = f"method: random\nearly_terminate: {{type: hyperband, {keys}}}\nparameters: {{lr: {{values: [0.1]}}}}\n"

    assert list(translation_of(text, tmp_path).errors) == [f"early_terminate.{key}"]


def test_our_own_hyperband_stays_ours() -> None:
    assert not is_wandb(tiny(early_terminate={"type": "hyperband", "min_epochs": 1}))


LARGER_IS_BETTER = ["acc", "val/acc", "valAcc", "Validation_Accuracy", "top1_acc", "eval/f1", "val_f1_score", "mAP50"]
LARGER_IS_BETTER += ["test.auc", "val/mrr@10", "ndcg", "mIoU", "recall", "PSNR", "reward"]
SMALLER_IS_BETTER = ["loss", "val_loss", "accuracy_loss", "rmse", "mape", "error_rate", "val/f", "topology", "macro"]


def test_the_direction_of_a_metric_follows_its_name() -> None:
    assert [name for name in LARGER_IS_BETTER if not is_better_if_larger(name)] == []
    assert [name for name in SMALLER_IS_BETTER if is_better_if_larger(name)] == []
    assert SweepSpec.model_validate(tiny()).metric.goal == "maximize"


@pytest.mark.parametrize(
    ("name", "goal"), [("top1_acc", "maximize"), ("rmse", "minimize"), ("val_accuracy", None), ("loss", "minimize")]
)
def test_a_metric_without_goal_gets_one_and_a_note(name: str, goal: str | None, tmp_path: Path) -> None:
    text = f"program: a.py\nmethod: random\nmetric: {{name: {name}}}\nparameters: {{lr: {{values: [1]}}}}\n"

    found = translation_of(text, tmp_path)

    assert found.content["metric"].get("goal") == goal
    assert any(line.startswith("metric.goal") for line in found.lines()) == (goal is not None)


def test_a_function_of_the_user_keeps_its_names(tmp_path: Path) -> None:
    text = "train: mine:train\nproject: x\nmethod: random\nmetric: {name: f1}\nparameters: {lr: {min: 0, max: 1}}\n"

    found = translation_of(text, tmp_path)

    assert found.content["parameters"] == {"lr": {"min": 0, "max": 1, "distribution": "int_uniform"}}
    assert found.content["metric"] == {"name": "f1", "goal": "maximize"}


def test_usual_names_of_metrics_are_those_of_validation() -> None:
    names = [
        "val_acc",
        "val/acc",
        "acc",
        "accuracy",
        "Validation Accuracy",
        "test_acc",
        "eval/accuracy",
        "best_val_acc",
    ]

    assert {metric_of_name(name) for name in names} == {"val_accuracy"}
    assert metric_of_name("train/loss") == "train_loss"
    assert metric_of_name("f1") is None


def test_searched_epochs_turn_early_stopping_off_and_say_so(tmp_path: Path) -> None:
    text = USUAL.replace("{value: 27}", "{values: [9, 27]}")

    found = translation_of(text, tmp_path)

    assert "early_terminate" not in found.content
    assert "early_terminate: off, because epochs is searched" in "\n".join(found.lines())


def test_the_built_in_networks_can_be_searched_instead_of_a_program() -> None:
    content = {"program": "train.py", "command": ["python"], "method": "grid", "parameters": {"lr": {"values": [0.1]}}}

    found = translated(content, stem="file", built_in=True)

    assert "program" not in found.content
    assert list(found.content["parameters"]) == ["optimizer.lr"]
    assert SearchSpace(parameters={"optimizer.lr": Parameter(values=(0.1,))}, base={}).cardinality == 1


LAUNCH = ["job: a/b:latest", "image_uri: a/b"]


@pytest.mark.parametrize("key", LAUNCH)
def test_what_only_the_server_of_wandb_can_run_is_refused(key: str, tmp_path: Path) -> None:
    found = translation_of(f"{key}\nmethod: random\nparameters: {{lr: {{values: [0.1]}}}}\n", tmp_path)

    assert list(found.errors) == [key.partition(":")[0]]


FOREIGN = {
    "Hydra": [
        "defaults:\n  - model: a\nlr: 0.1\n",
        "hydra:\n  sweeper:\n    params: {lr: 'range(1, 3)'}\n",
        "hydra/sweeper: ax\nlr: 0.1\n",
        "model: {_target_: nets.Tiny, lr: 0.1}\n",
    ],
    "Ray Tune": [
        "pong:\n  run: PPO\n  env: Pong\n  config: {lr: {grid_search: [0.1, 0.2]}}\n",
        "param_space: {lr: 0.1}\ntune_config: {num_samples: 3}\n",
        "config:\n  lr: {grid_search: [0.1, 0.2]}\n",
        "metric: loss\nmode: min\nnum_samples: 4\nconfig: {lr: {lower: 0.1, upper: 1}}\n",
        "search_space: {lr: 'tune.loguniform(1e-4, 1e-1)'}\n",
    ],
    "Katib": [
        "apiVersion: kubeflow.org/v1beta1\nkind: Experiment\nspec: {}\n",
        "apiVersion: kubeflow.org/v1\nspec: {parameters: [{name: lr}]}\n",
    ],
    "NNI": [
        "searchSpaceFile: space.json\ntrialCommand: python a.py\n",
        '{"lr": {"_type": "loguniform", "_value": [0.001, 0.1]}}',
    ],
    "Determined": [
        "name: x\nhyperparameters: {lr: {type: log, minval: -4, maxval: -1}}\nsearcher: {name: asha}\n",
        "entrypoint: python3 a.py\nsearcher: {name: single, metric: error}\n",
    ],
    "Optuna": [
        "study_name: a\nn_trials: 20\ndirection: maximize\n",
        "search_space:\n  lr: {type: float, low: 0.001, high: 0.1, log: true}\n",
        "parameters:\n  lr: {name: suggest_categorical, choices: [a, b]}\n",
    ],
}


@pytest.mark.parametrize(("tool", "text"), [(tool, text) for tool, texts in FOREIGN.items() for text in texts])
def test_a_file_of_another_tool_is_recognised(tool: str, text: str, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(text, encoding="utf-8")

    result = cli("run", path, "--runs", tmp_path / "runs")

    assert result.exit_code == 2
    assert (
        result.stderr
        == f"error: {path}: line 1: the file is one of {tool}, not a sweep file. {PAGE} shows how to write one\n"
    )
    assert (ROOT / PAGE).exists()


@pytest.mark.parametrize(
    "text", ["trainer: {max_epochs: 3}\nmodel: {class_path: Net}\n", "type: sweep\nlimits: {a: 1}\n"]
)
def test_a_file_without_any_key_of_a_sweep_is_one_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SpecError) as raised:
        load_spec(path)

    assert list(raised.value.errors) == [
        f"line 1: the file has no key of a sweep file, such as parameters. `sweeps init` writes one; see {PAGE}"
    ]
