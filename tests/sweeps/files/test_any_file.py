"""Any file is either a valid sweep or rejected with the line of every error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifar_core.config import TrainingConfig
from sweeps.core.errors import SpecError
from sweeps.driver.estimate import preview, trial_count
from sweeps.files.definition import canonical_definition, contains_point
from sweeps.files.sweep import load_spec

ODD = [
    *("1e-3", "0", "-1", "2.5", "'3'", "010", "1:30", "2024-06-01", "~", "no", ".nan", "1e400", "9" * 20, "x", "''"),
    *("<<", "[1, 2]", "[]", "{value: 3}", "{}", "{a: {b: 1}}", "!!set {a}"),
]
FIELDS = {
    "model.name": "simple resnet vgg",
    "model.width": "4 8 '8' 1e1 ~",
    "model.head": "[8] [16,8] ['8'] ~",
    "data.batch_size": "16 32.0 '64' 1e2",
    "data.augmentation": "flip none [normalize,flip]",
    "data.shuffle": "true no 1",
    "data.train_size": "300 '400' ~",
    "optimizer.lr": "1e-3 0.001 0.1 '0.1' 1",
    "optimizer.weight_decay": "0 0.0 1e-4 '0.1'",
    "optimizer.name": "sgd adam",
    "schedule.name": "cosine step constant",
    "schedule.min_lr": "0 0.01 1",
    "epochs": "1 2 '3' 4.0",
    "seed": "0 1 2",
}
PATHS = [*FIELDS, "model.options.depth", "options", "lr", "optimizer", "epochs.x", "1"]


def mostly(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    other = st.sampled_from(ODD) if odd is None else odd
    return st.integers(0, 19).flatmap(lambda chance: usual if chance else other)


def values_of(path: str) -> st.SearchStrategy[str]:
    return mostly(st.sampled_from(FIELDS.get(path, "1 2 3").split(" ")))


@st.composite
def parameters(draw: st.DrawFn, path: str, others: list[str]) -> str:
    values = values_of(path)
    keys = {}
    match draw(
        st.sampled_from(
            ["list", "list", "value", "range", "range", "curve", "odd"] if path in FIELDS else ["list", "range"]
        )
    ):
        case "list":
            keys["values"] = f"[{', '.join(draw(st.lists(values, min_size=1, max_size=3)))}]"
        case "value":
            keys["value"] = draw(values)
        case "range":
            keys |= {"min": draw(values), "max": draw(values)}
            if draw(st.booleans()):
                keys["q"] = draw(mostly(st.sampled_from(["1", "2.0", "0.1", "2.5"])))
            if draw(st.booleans()):
                kinds = ["uniform", "q_uniform", "log_uniform_values", "int_uniform", "q_log_uniform_values"]
                keys["distribution"] = draw(mostly(st.sampled_from(kinds)))
        case "curve":
            first, second = draw(st.sampled_from([("mu", "sigma"), ("a", "b")]))
            kinds = ["normal", "q_normal", "log_normal"] if first == "mu" else ["beta", "q_beta"]
            keys |= {
                "distribution": draw(mostly(st.sampled_from(kinds))),
                first: draw(mostly(st.sampled_from(["1", "2.5"]))),
            }
            keys |= {second: draw(mostly(st.just("0.5")))} | ({"q": "0.5"} if "q_" in keys["distribution"] else {})
        case _:
            return draw(st.sampled_from(ODD))
    if others and draw(st.integers(0, 3)) == 0:
        other = draw(st.sampled_from(others))
        keys["when"] = f"{{{other}: [{draw(values_of(other))}]}}"
    return "{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


@st.composite
def files(draw: st.DrawFn) -> str:
    lines = [f"name: {draw(mostly(st.just('tiny')))}", f"run_cap: {draw(mostly(st.just('4')))}"]
    lines.append(f"method: {draw(mostly(st.sampled_from(['bayes', 'random', 'grid'])))}")
    if draw(st.integers(0, 3)) == 0:
        lines.append(f"early_terminate: {{type: asha, min_epochs: {draw(mostly(st.sampled_from(['1', '9'])))}}}")
    lines += ["base:", f"  data: {{validation_size: {draw(mostly(st.just('200')))}}}"]
    for path in draw(st.lists(st.sampled_from(["epochs", "seed"]), max_size=1)):
        lines.append(f"  {path}: {draw(values_of(path))}")
    paths = draw(st.lists(mostly(st.sampled_from(list(FIELDS)), st.sampled_from(PATHS)), max_size=3, unique=True))
    lines.append("parameters:" if paths else "parameters: {}")
    lines += [f"  {path}: {draw(parameters(path, paths[:index]))}" for index, path in enumerate(paths)]
    if paths and draw(st.integers(0, 3)) == 0:
        started = [f"{path}: {draw(values_of(path))}" for path in draw(st.lists(st.sampled_from(paths), unique=True))]
        lines.append(f"start_with: [{{{', '.join(started)}}}]")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "any.yaml"


@given(text=files())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_can_be_planned_or_each_mistake_has_its_line(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
    try:
        spec = load_spec(path)
    except SpecError as error:
        without = [each for each in error.errors if not re.match(r"line \d+[:,] ", each) or "\n" in each]
        if not error.errors or without:
            raise
        return

    spec.warnings()
    assert len(spec.space.describe()) == len(spec.parameters)
    for config in preview(spec, 4):
        assert TrainingConfig.model_validate(config.model_dump(mode="json")) == config
        assert contains_point(spec.space, config)
    assert trial_count(spec) >= 0
    path.write_text(spec.to_yaml(), encoding="utf-8")
    assert load_spec(path).model_dump() == spec.model_dump()  # without notes on a W&B file, which it is no more
    assert canonical_definition(load_spec(path).definition()) == canonical_definition(spec.definition())


@given(text=st.text(st.sampled_from("ab:{}[],&*<|>'\"#- \n\t!%?01.e~"), max_size=40) | st.text(max_size=20))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_invalid_text_is_rejected_with_a_line(text: str, path: Path) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(SpecError) as raised:
        load_spec(path)

    assert all(re.match(r"line \d+[:,]|cannot be read as text", each) for each in raised.value.errors)
