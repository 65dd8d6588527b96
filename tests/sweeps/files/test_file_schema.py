"""The JSON Schemas for editors agree with the loader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import test_distributions
import test_ladder
import test_sweep
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sweep_fakes import Cli, tiny

from cifar_core.config import TrainingConfig
from cifar_core.models.registry import ARCHITECTURES
from sweeps.files.ladder_file import is_ladder
from sweeps.files.schema import FILE_KINDS, FileKind, configuration_fields, file_schema, schema_file, schema_text
from sweeps.tasks.image_schema import resolve_reference

ROOT = Path(__file__).parents[3]
YAML_FILES = sorted((ROOT / "experiments").rglob("*.yaml"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

BEYOND_A_SCHEMA = {
    "impossible range",
    "condition on an unknown parameter",  # an unknown field is an error of the schema, an unsearched one is not
    "condition on an unknown value",
    "condition on a range",
    "conditions in a circle",
    "no validation images in one case",
    "grid over a continuous range",
    "endless grid",
    "too many splits",
    "more images than there are",
    "a start outside of the space",
    "a start whose values are impossible together",
    "unknown from",
    "from a later rung",
    "a name twice",
    "too few probabilities",
    "probabilities of more than 1",
    "a value as an exponent",
    "a target in percent",
    "nothing possible",
}
"""Errors in combinations of values, which only the loader detects."""


VALIDATORS = {kind: jsonschema.Draft7Validator(file_schema(kind)) for kind in FILE_KINDS}


def mistakes(kind: FileKind, content: Any) -> list[str]:
    """Return the paths of the errors that the schema of a kind of file reports."""
    found = VALIDATORS[kind].iter_errors(content)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in found]


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_the_schema_file_equals_the_generated_schema(kind: FileKind) -> None:
    written = schema_file(kind).read_text(encoding="utf-8")
    assert written == schema_text(kind), f"renew it: `sweeps schema {kind} > {schema_file(kind).relative_to(ROOT)}`"


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_the_schemas_are_valid_json_schemas(kind: FileKind) -> None:
    jsonschema.Draft7Validator.check_schema(file_schema(kind))


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_every_experiment_names_its_schema_and_is_valid(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", text.partition("\n")[0])
    assert first is not None
    content = yaml.safe_load(text)
    kind: FileKind = "ladder" if is_ladder(content) else "sweep"

    assert (path.parent / first[1]).resolve() == schema_file(kind)
    assert mistakes(kind, content) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_yaml_block_in_the_docs_is_valid(path: Path) -> None:
    for piece in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
        content = tiny(**(yaml.safe_load(piece) or {}))
        content["base"]["data"] = {"validation_size": 200} | content["base"].get("data", {})
        assert mistakes("sweep", content) == []


def test_the_sweep_of_the_tests_is_valid() -> None:
    assert mistakes("sweep", tiny()) == []


@pytest.mark.parametrize("case", test_sweep.MISTAKES)
def test_the_schema_rejects_what_the_sweep_loader_rejects(case: str) -> None:
    content, _ = test_sweep.MISTAKES[case]
    if case not in BEYOND_A_SCHEMA:
        assert mistakes("sweep", content) != []


@pytest.mark.parametrize("case", test_distributions.REFUSED)
def test_the_schema_refuses_what_the_loader_refuses_in_a_distribution(case: str) -> None:
    parameter, _ = test_distributions.REFUSED[case]
    if case not in BEYOND_A_SCHEMA:
        assert mistakes("sweep", tiny(parameters={"optimizer.lr": parameter})) != []


@pytest.mark.parametrize("case", test_ladder.MISTAKES)
def test_the_schema_rejects_what_the_ladder_loader_rejects(case: str) -> None:
    content, _ = test_ladder.MISTAKES[case]
    if case not in BEYOND_A_SCHEMA:
        assert mistakes("ladder", content) != []


ALLOWED = {
    "one value without brackets in a condition": {
        "model.name": {"values": ["simple", "vgg"]},
        "model.width": {"values": [8, 16], "when": {"model.name": "vgg"}},
    },
    "a list among the values": {"model.head": {"values": [None, [64], [256, 64]]}},
    "an augmentation by operations": {"data.augmentation": {"values": [["normalize", {"flip": {"p": 0.2}}], "flip"]}},
    "a whole block": {"optimizer": {"values": [{"name": "sgd", "lr": 0.1}, {"name": "adam"}]}},
    "one value": {"optimizer.lr": {"value": 0.1, "distribution": "constant"}},
    **{text: {"optimizer.lr": parameter} for text, parameter in test_distributions.DESCRIBED.items()},
    "exponents of e": {"optimizer.lr": {"min": -9, "max": -2, "distribution": "log_uniform"}},
    "a step": {"model.dropout": {"min": 0.0, "max": 0.5, "q": 0.1, "distribution": "q_uniform"}},
}


@pytest.mark.parametrize("case", ALLOWED)
def test_the_schema_accepts_what_the_loader_accepts(case: str) -> None:
    assert test_sweep.SweepSpec.model_validate(tiny(parameters=ALLOWED[case]))
    assert mistakes("sweep", tiny(parameters=ALLOWED[case])) == []


def test_a_custom_network_is_valid_with_options_and_in_a_search() -> None:
    base = tiny()["base"] | {"model": {"name": "nets:Tiny", "options": {"depth": 3}}}
    own = {"model.options.act": {"values": ["relu", "gelu"]}, "model.options.depth": {"min": 1, "max": 4}}

    assert mistakes("sweep", tiny(base=base, parameters=own)) == []
    assert mistakes("sweep", tiny(base=base | {"model": {"options": {"depth": 3}}})) != []


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_every_key_has_a_description(kind: FileKind) -> None:
    schema = file_schema(kind)
    silent = [key for key, field in schema["properties"].items() if not field.get("description")]
    silent += [path for path, field in configuration_fields().items() if not field.get("description")]
    for block in ("metric", "limits", "resources", "early_terminate", "keep"):
        inner = resolve_reference(schema, schema["properties"].get(block, {})).get("properties", {})
        silent += [f"{block}.{key}" for key, field in inner.items() if not field.get("description")]

    assert silent == []


def test_a_description_lists_the_networks_that_use_the_field() -> None:
    described = configuration_fields()["model.width"]["description"]
    for name, architecture in ARCHITECTURES.items():
        assert (name in described) == ("width" in architecture.defaults)
    assert "resnet (64)" in described


LADDER = file_schema("ladder")
FIELDS = configuration_fields()

BETWEEN_VALUES = (
    "train_size + validation_size is",
    "pools, which leave no pixel",
    "should be less than or equal to",
    "the images of cifar10 have",
    "data source",
    "is not prepared",
    "is no data set",
    "names no data",
    "exactly one `normalize`",
    "crop to",
    "augmentation results in images of",
    "is [minimum, maximum]",
    "pixels. For smaller ones use",
    "stochastic_depth needs residual: true",
    "has 6n + 4 layers",
    "it is defined on pixels from 0 to 1",
)
"""What `TrainingConfig` refuses and no schema of draft 7 can say."""


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that a schema allows, for the features that the configuration's schemas use."""
    if "$ref" in schema:
        return values_of(resolve_reference(LADDER, schema))
    if "anyOf" in schema:
        return st.one_of(*map(values_of, schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    high = schema.get("exclusiveMaximum") if high is None else high
    match kind:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "string":
            return st.just("nets:Tiny") if schema.get("pattern") else st.text(max_size=5)
        case "integer":
            return st.integers(low, high)
        case "number":
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case "array" if isinstance(schema["items"], list):
            return st.tuples(*map(values_of, schema["items"])).map(list)
        case "array":
            return st.lists(values_of(schema["items"]), max_size=6)
    if schema.get("maxProperties") == 1:
        return st.one_of(*(st.fixed_dictionaries({key: values_of(each)}) for key, each in schema["properties"].items()))
    fixed = {key: values_of(schema["properties"][key]) for key in schema.get("required", [])}
    free = {key: values_of(field) for key, field in schema.get("properties", {}).items() if key not in fixed}
    if "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
        return st.dictionaries(st.text(max_size=3), values_of(schema["additionalProperties"]), max_size=2)
    return st.fixed_dictionaries(fixed, optional=free)


def configurations() -> st.SearchStrategy[dict[str, Any]]:
    nested: dict[str, st.SearchStrategy[Any]] = {
        block: st.fixed_dictionaries(
            {},
            optional={
                path.partition(".")[2]: values_of(FIELDS[path]) for path in FIELDS if path.startswith(f"{block}.")
            },
        )
        for block in ("model", "data", "optimizer", "schedule")
    }
    single = {path: values_of(field) for path, field in FIELDS.items() if "." not in path}
    return st.fixed_dictionaries({}, optional=nested | single)


def is_allowed(config: dict[str, Any]) -> bool:
    return bool(VALIDATORS["ladder"].is_valid({"name": "steps", "base": config, "rungs": [{"name": "a"}]}))


@settings(max_examples=100, deadline=None)
@given(configurations())
def test_a_valid_configuration_loads_and_so_does_its_record(
    config: dict[str, Any],
) -> None:
    if not is_allowed(config):
        return
    try:
        loaded = TrainingConfig.model_validate(config)
    except ValidationError as error:
        if any(words in str(error) for words in BETWEEN_VALUES):
            return
        raise
    assert is_allowed(loaded.model_dump(mode="json"))


def test_the_verb_prints_the_schema_and_its_path(cli: Cli) -> None:
    assert cli("schema", "ladder").stdout == schema_text("ladder")
    assert cli("schema", "sweep", "--path").stdout == f"{schema_file('sweep')}\n"
