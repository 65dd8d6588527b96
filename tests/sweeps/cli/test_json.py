"""What a verb prints with `--json` follows the schema that `sweeps schema json VERB` prints, and nothing else is on
standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sweep_fakes import Cli, write_yaml

from sweeps._api.json_schemas import OUTPUTS
from sweeps.cli.main import sweeps as verbs

FUNCTION = """
import random

def train(trial, *, quality: float = 0.5, breaks: bool = False, epochs: int = 2):
    for epoch in range(trial.epoch, epochs):
        if breaks:
            raise RuntimeError("it breaks")
        trial.save(None)
        yield {"score": quality + random.Random(f"{trial.seed} {quality}").gauss(0, 0.01)}

def test(trial, **config):
    return {"test_score": 0.5}
"""
SWEEP = {
    "name": "s",
    "train": "jsoned:train",
    "method": "grid",
    "metric": {"name": "score"},
    "parameters": {"quality": {"values": [0.5, 0.6]}},
}
LADDER = {
    "name": "steps",
    "train": "jsoned:train",
    "metric": {"name": "score"},
    "rungs": [{"name": "low", "quality": 0.4}, {"name": "high", "quality": 0.8}],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded_runs: Path) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "jsoned.py").write_text(FUNCTION, encoding="utf-8")
    write_yaml(tmp_path, SWEEP, name="s.yaml")
    write_yaml(tmp_path, LADDER, name="steps.yaml")
    yield tmp_path
    sys.modules.pop("jsoned", None)


def printed(cli: Cli, *arguments: object, code: int = 0) -> Any:
    """Return the JSON that a verb prints, after checking it against its schema."""
    result = cli(*arguments, "--json")
    assert result.exit_code == code, result.output
    schema = json.loads(cli("schema", "json", arguments[0]).stdout)
    found = json.loads(result.stdout)
    jsonschema.Draft7Validator(schema).validate(found)
    return found


def test_every_verb_that_trains_or_shows_follows_its_schema(project: Path, cli: Cli) -> None:
    here = ("--backend", "inline")
    planned = printed(cli, "plan", "s.yaml", "--no-probe")
    run = printed(cli, "run", "s.yaml", *here)
    again = printed(cli, "run", "s.yaml", *here)
    replicated = printed(cli, "replicate", "s", "--seeds", 2, *here)
    retrained = printed(cli, "retrain", "s-001", "--epochs", 3, *here)
    ladder = printed(cli, "ladder", "steps.yaml", *here)
    state = printed(cli, "status", "s")
    listed = printed(cli, "list")
    shown, one = printed(cli, "show", "s"), printed(cli, "show", "s-001")
    compared = printed(cli, "compare", "s-000", "s-001")
    board, effects = printed(cli, "leaderboard"), printed(cli, "effects", "s")
    checked = printed(cli, "check", "s.yaml", code=0)
    examined = printed(cli, "doctor")

    assert (planned["kind"], planned["trials"], planned["command"]) == ("sweep", 2, "sweeps run s.yaml")
    assert (run["trained"], again["trained"], run["exit_code"]) == (2, 0, 0)
    assert [trial["config"]["quality"] for trial in run["trials"]] == [0.5, 0.6]
    assert {trial["replicate_of"] for trial in replicated["trials"]} == {0, 1}
    assert retrained["trials"][0]["of_epochs"] == 3
    assert [rung["rung"] for rung in ladder["rungs"]] == ["low", "high"]
    assert state["counts"] == {"complete": 2}
    assert state["best_value"] == pytest.approx(0.6, abs=0.05)
    assert {each["sweep"] for each in listed["sweeps"]} == {"s", "retrained-s", "steps"}
    assert (shown["kind"], shown["status"]["sweep"], one["run"]["name"]) == ("sweep", "s", "s-001")
    assert [(each["path"], each["before"], each["after"]) for each in compared["changes"]] == [("quality", 0.5, 0.6)]
    assert len(one["run"]["curve"]) == 2
    assert {row["sweep"] for row in board} == {"s", "retrained-s", "steps"}
    assert effects["parameters"][0]["name"] == "quality"
    assert checked["ok"]
    assert examined["checks"]


def test_failed_trials_are_in_the_json_and_in_the_exit_code(project: Path, cli: Cli) -> None:
    broken = SWEEP | {"name": "broken", "base": {"breaks": True}}
    write_yaml(project, broken, name="broken.yaml")
    found = printed(cli, "run", "broken.yaml", "--backend", "inline", code=1)

    assert (found["failed"], found["exit_code"]) == (2, 1)
    assert all("it breaks" in trial["error"] for trial in found["trials"])


def test_a_refused_command_prints_no_json(project: Path, cli: Cli) -> None:
    result = cli("run", "missing.yaml", "--json")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "missing.yaml" in result.stderr


@pytest.mark.parametrize("verb", sorted(OUTPUTS))
def test_each_schema_is_valid_and_its_verb_has_the_option(verb: str, cli: Cli) -> None:
    jsonschema.Draft7Validator.check_schema(json.loads(cli("schema", "json", verb).stdout))
    assert any("--json" in option.opts for option in verbs.commands[verb].params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["json"], "json needs a verb"),
        (["json", "stop"], "'stop' prints no JSON with a schema"),
        (["sweep", "run"], "only json takes a verb, not sweep"),
        (["json", "run", "--path"], "--path is for the schemas of files"),
    ],
)
def test_wrong_arguments_of_schema_are_explained(arguments: list[str], message: str, cli: Cli) -> None:
    result = cli("schema", *arguments)

    assert result.exit_code == 2
    assert message in result.stderr
