"""Parsing of YAML files, and errors with their location."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.core.errors import SpecError
from sweeps.files.yaml_file import dump_yaml, flatten, merge, read_yaml, set_path


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.yaml"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return path


def errors_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as raised:
        read_yaml(path, overrides=overrides)
    return list(raised.value.errors)


def test_nested_blocks_and_lists_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "a: {b: [1, {c: [2, 3]}]}\nd: {e: {f: ä}}\n")

    assert read_yaml(path) == {"a": {"b": [1, {"c": [2, 3]}]}, "d": {"e": {"f": "ä"}}}


def test_merge_keys_may_be_overridden_and_duplicates_are_errors(tmp_path: Path) -> None:
    text = "a: &range {min: 0.1, max: 1}\nb: {<<: *range, max: 0.5}\nc: {<<: [{q: 1}, *range, {q: 2}], min: 0}\n"

    read = read_yaml(written(tmp_path, text))

    assert (read["b"], read["c"]) == ({"min": 0.1, "max": 0.5}, {"min": 0, "max": 1, "q": 1})
    assert (
        "line 1, column 11: invalid YAML: the key 'b' is used twice"
        in errors_of(written(tmp_path, "a: {b: 1, b: 2}"))[0]
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("1E5", 1e5), ("-2e+3", -2000.0), (".5", 0.5), ("1.", 1.0), ("0x10", 16), ("1_000", 1000),
     ("'1e-3'", "1e-3"), ("!!str 010", "010"), ("0", 0), ("0.10", 0.1), ("1e", "1e"), ("0o10", "0o10"), ("on", True)],
)  # fmt: skip
def test_numbers_follow_yaml_1_2(text: str, value: Any, tmp_path: Path) -> None:
    found = read_yaml(written(tmp_path, f"a: {text}\n"), overrides=[f"b={text}"])

    assert [(each, type(each)) for each in found.values()] == [(value, type(value))] * 2
    assert found.mistakes == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [("010", "and 8 for others. Write 10, or '010' with quotes"), ("007", "Write 7, or '007'"), ("08", "Write 8"),
     ("1:30", "Write 90, a duration such as 1h30m or 1m30s, or '1:30'"), ("2024-06-01", "is a date"),
     ("1:02:03", "such as 1h2m3s"), ("!!binary aGk=", "!!binary"), ("!!set {b}", "!!set is not supported"),
     ("9" * 5000, "is invalid")],
)  # fmt: skip
def test_ambiguous_yaml_values_are_errors_with_a_correction(text: str, words: str, tmp_path: Path) -> None:
    found = read_yaml(written(tmp_path, f"b: 1\na: {text}\n"), overrides=[f"c={text}"])

    assert list(found.mistakes) == ["a", "c"]
    assert words in found.mistakes["a"]
    assert len(found.mistakes["a"]) < 300
    assert [found.location_of(key) for key in ("a", "a.x", "b", "c.d", "z")] == [
        "line 2", "line 2", "line 1", "--set c", "line 1",
    ]  # fmt: skip


def test_an_anchor_that_contains_itself_is_rejected(tmp_path: Path) -> None:
    assert "an anchor contains itself" in errors_of(written(tmp_path, "a: &a [*a]\n"))[0]
    assert "nested too deeply" in errors_of(written(tmp_path, "[" * 5000))[0]


# PyYAML itself does not bring every control character through a file.
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
SCALARS |= st.sampled_from(["010", "1e-3", "1:30", "2024-06-01", "no", "<<", "=", "0x1"])


@given(st.dictionaries(TEXT | st.sampled_from(["010", "no", "<<", "1e3"]), SCALARS | st.lists(SCALARS)))
def test_written_yaml_is_read_back_equal(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read = read_yaml(written(Path(folder), dump_yaml(content)))

    assert (dict(read), read.mistakes) == (content, {})


def test_an_override_takes_the_text_after_the_first_equals_sign(tmp_path: Path) -> None:
    path = written(tmp_path, "a: 1\n")

    assert read_yaml(path, overrides=["a=2", " b = x=y", "c.d=[1, 2]"]) == {"a": 2, "b": "x=y", "c": {"d": [1, 2]}}


def test_the_error_of_a_missing_file_lists_its_folder(tmp_path: Path) -> None:
    assert errors_of(tmp_path / "b.yaml") == ["the file does not exist"]
    assert errors_of(tmp_path / "nowhere" / "b.yaml") == ["the file does not exist"]
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").touch()

    assert errors_of(tmp_path / "c.yaml") == [
        f"the file does not exist. The folder contains {tmp_path}/a.yaml, {tmp_path}/b.yaml"
    ]


def test_an_invalid_file_is_reported_with_its_location(tmp_path: Path) -> None:
    assert errors_of(written(tmp_path, "- 1\n")) == [
        "line 1: the file contains a list instead of a mapping such as `name: quick`"
    ]
    assert errors_of(written(tmp_path, b"a: \xff")) == [
        "the file cannot be read as text: 'utf-8' codec can't decode byte 0xff in position 3: invalid start byte"
    ]
    assert errors_of(written(tmp_path, "a: 1\nb: 2\na: 3\n")) == [
        "line 3, column 1: invalid YAML: the key 'a' is used twice"
    ]
    assert errors_of(written(tmp_path, "a: \x07"))[0].startswith(
        "line 1: invalid YAML: special characters are not allowed"
    )


def test_a_wrong_override_is_reported_as_a_set_option(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        read_yaml(written(tmp_path, "a: 1\n"), overrides=["a"])

    assert str(raised.value) == "--set: 'a' is invalid. Write path=value, such as base.epochs=3"


BLOCKS = st.dictionaries(st.sampled_from("abc"), st.integers() | st.lists(st.integers(), max_size=2), max_size=3)
TREES = st.dictionaries(st.sampled_from("xyz"), st.integers() | BLOCKS.filter(bool), max_size=3)


@given(TREES)
def test_flattening_and_setting_paths_are_inverse(tree: dict[str, Any]) -> None:
    rebuilt: dict[str, Any] = {}
    for path, value in flatten(tree).items():
        set_path(rebuilt, path, value)

    assert rebuilt == tree


@given(TREES, TREES)
def test_merging_applies_changes_and_keeps_the_rest(base: dict[str, Any], over: dict[str, Any]) -> None:
    before = repr((base, over))
    merged, changed = flatten(merge(base, over)), flatten(over)

    assert {path: merged[path] for path in changed} == changed
    untouched = {path for path in flatten(base) if not any(_overlap(path, other) for other in changed)}
    assert {path: merged[path] for path in untouched} == {path: flatten(base)[path] for path in untouched}
    assert repr((base, over)) == before


def _overlap(first: str, second: str) -> bool:
    """Return whether one path equals the other or is its parent."""
    return first == second or first.startswith(f"{second}.") or second.startswith(f"{first}.")


def test_only_another_name_resets_its_block() -> None:
    base = {
        "model": {"name": "simple", "width": 8},
        "schedule": {"name": "step", "gamma": 0.5},
        "data": {"name": "x", "y": 1},
    }

    other = merge(
        base, {"model": {"dropout": 0.1, "name": "vgg"}, "schedule": {"name": "cosine"}, "data": {"name": "z"}}
    )
    same = merge(base, {"model": {"name": "simple", "dropout": 0.1}})

    assert other == {
        "model": {"name": "vgg", "dropout": 0.1},
        "schedule": {"name": "cosine"},
        "data": {"name": "z", "y": 1},
    }
    assert same["model"] == {"name": "simple", "width": 8, "dropout": 0.1}


def test_the_options_of_a_network_are_one_value() -> None:
    assert flatten({"model": {"options": {"a": 1}, "name": "n:N"}}) == {"model.name": "n:N", "model.options": {"a": 1}}


def test_a_dotted_parameter_is_one_key() -> None:
    tree: dict[str, Any] = {"parameters": {"a.b": {"value": 1}}}

    set_path(tree, "parameters.optimizer.lr", {"value": 2})

    assert tree == {"parameters": {"a.b": {"value": 1}, "optimizer.lr": {"value": 2}}}
