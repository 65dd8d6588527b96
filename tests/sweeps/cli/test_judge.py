"""`sweeps judge` trains two configurations under shared seeds until it can answer, and remembers each question."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sweep_fakes import Cli, write_yaml, written

from sweeps.search.state import read_state
from sweeps.store.questions import QUESTIONS, read_questions

FUNCTION = """
import pathlib, random

def train(trial, *, quality: float = 0.5, spread: float = 0.01, breaks: bool = False, epochs: int = 1):
    for epoch in range(trial.epoch, epochs):
        if breaks:
            raise RuntimeError("it breaks")
        trial.save(None)
        noise = random.Random(f"{trial.seed} {quality}").gauss(0, spread)
        yield {"val_accuracy": quality + noise, "score": 100 * (quality + noise)}
"""


def searching(**changes: Any) -> dict[str, Any]:
    return {
        "name": "s",
        "train": "scoring:train",
        "method": "grid",
        "metric": {"name": "val_accuracy", "goal": "maximize"},
        "parameters": {"quality": {"values": [0.5, 0.52, 0.6]}},
    } | changes


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded_runs: Path, cli: Cli) -> Iterator[Path]:
    """A folder with a training function and the record of its search `s`: trials of 50, 52 and 60 %."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "scoring.py").write_text(FUNCTION, encoding="utf-8")
    result = cli("run", write_yaml(tmp_path, searching(), name="s.yaml"), "--backend", "inline")
    assert result.exit_code == 0, result.output
    yield tmp_path
    sys.modules.pop("scoring", None)


def ask(cli: Cli, *arguments: object) -> Any:
    return cli("judge", *arguments, "--backend", "inline")


def test_the_exit_code_is_the_answer(project: Path, cli: Cli) -> None:
    better, worse = ask(cli, "s-002", "s-000"), ask(cli, "s-000", "s-002")
    same = ask(cli, "s-001", "quality=0.5201", "--margin", 3)
    unclear = ask(cli, "s-000", "quality=0.501", "--seeds-at-most", 4)

    assert [each.exit_code for each in (better, worse, same, unclear)] == [0, 3, 4, 5]
    assert "s-002 is better than s-000 by" in better.stdout
    assert "s-000 is worse than s-002 by" in worse.stdout
    assert "no difference larger than" in same.stdout
    assert "not distinguished yet" in unclear.stdout


def test_an_answered_question_trains_nothing_again(project: Path, cli: Cli) -> None:
    first = json.loads(ask(cli, "s-002", "s-000", "--json").stdout)
    again = json.loads(ask(cli, "s-002", "s-000", "--json").stdout)
    mirrored = json.loads(ask(cli, "s-000", "s-002", "--json").stdout)

    assert first["trained"] == 2 * first["seeds"]
    assert again == first | {"trained": 0}
    assert mirrored["answer"] == "worse"
    assert mirrored["low"] == -first["high"]
    assert mirrored["question"] == 1
    assert len((project / "runs" / QUESTIONS).read_text().splitlines()) == 2


def test_an_open_question_continues_with_its_seeds(project: Path, cli: Cli) -> None:
    arguments = ["s-001", "s-000", "--json", "--margin", 0.1]
    part = json.loads(ask(cli, *arguments, "--seeds-at-most", 3).stdout)
    more = json.loads(ask(cli, *arguments, "--seeds-at-most", 5).stdout)

    assert (part["answer"], part["seeds"], part["trained"]) == ("not distinguished yet", 3, 6)
    assert (more["seeds"], more["trained"], more["level"]) == (5, 4, part["level"])
    seeds = [record.config.seed for record in read_state(project / "runs", "judge-1").records]
    assert seeds == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_each_question_gets_seeds_that_no_run_had(project: Path, cli: Cli) -> None:
    ask(cli, "s-002", "s-000")
    ask(cli, "s-002", "s-001", "--seeds-at-most", 2)

    first, second = ({r.config.seed for r in read_state(project / "runs", f"judge-{n}").records} for n in (1, 2))
    assert not first & second
    assert 0 not in first | second


def test_the_list_shows_all_questions_and_the_promise(project: Path, cli: Cli) -> None:
    assert "no question was asked in this runs folder" in cli("judge").stdout
    ask(cli, "s-002", "s-000")
    ask(cli, "s-001", "s-000", "--seeds-at-most", 2)
    shown, listed = cli("judge").stdout, json.loads(cli("judge", "--json").stdout)

    assert "2 questions, 1 answer, of which at most 5 % are expected to be wrong" in shown
    assert [each["answer"] for each in listed["questions"]] == ["better", "not distinguished yet"]
    assert listed["questions"][0]["level"] == pytest.approx(0.0219, abs=1e-4)
    # The level of the second is larger than without the first answer.
    assert listed["questions"][1]["level"] == pytest.approx(2 * 0.0219 / 2**1.6, abs=1e-4)


def test_the_start_says_how_many_seeds_it_may_take(project: Path, cli: Cli) -> None:
    typical = ask(cli, "s-002", "s-000").stdout
    measured = ask(cli, "s-001", "s-000", "--seeds-at-most", 2).stdout

    assert "seeds for a difference of 1.0 points" in typical
    assert "a typical one, measured on 13 rungs of ladder-laptop.yaml" in typical
    assert "2 confirmed configurations with the same data and epochs" in measured


def test_files_and_changes_are_configurations_too(project: Path, cli: Cli) -> None:
    one = searching(name="one", base={"quality": 0.7}, parameters={})
    ladder = {
        "name": "steps",
        "train": "scoring:train",
        "metric": {"name": "val_accuracy"},
        "rungs": [{"name": "low", "quality": 0.4}, {"name": "high", "quality": 0.8}],
    }
    file = write_yaml(project, one, name="one.yaml")
    steps = write_yaml(project, ladder, name="steps.yaml")

    assert "one is better than steps:low" in ask(cli, file, f"{steps}:low").stdout
    assert "quality=0.9 is better than steps:high" in ask(cli, "quality=0.9", f"{steps}:high").stdout
    assert cli("ladder", steps, "--backend", "inline").exit_code == 0
    assert "steps/high is better than one" in ask(cli, "steps/high", file).stdout


def test_the_winner_of_a_question_can_be_named_in_the_next(project: Path, cli: Cli) -> None:
    won = json.loads(ask(cli, "quality=0.7", "s-000", "--json").stdout)
    assert won["first"]["run"] == "judge-1/quality=0.7"

    result = ask(cli, "quality=0.9", won["first"]["run"])
    assert result.exit_code == 0
    assert "better than judge-1/quality=0.7" in result.stdout


def test_another_metric_has_no_margin_unless_it_is_given(project: Path, cli: Cli) -> None:
    file = write_yaml(project, searching(name="t", metric={"name": "score"}), name="t.yaml")
    cli("run", file, "--backend", "inline")
    found = json.loads(ask(cli, "t-002", "t-000", "--json").stdout)

    assert (found["answer"], found["unit"], found["margin"]) == ("better", "score", None)
    assert found["difference"] == pytest.approx(10, abs=2)


def test_a_run_that_fails_under_each_seed_ends_the_question(project: Path, cli: Cli) -> None:
    result = ask(cli, "breaks=true", "s-000")

    assert result.exit_code == 1
    assert "it breaks" in result.stderr
    assert not read_questions(project / "runs")[0].is_answered


def test_standard_output_is_json_alone(project: Path, cli: Cli) -> None:
    result = ask(cli, "s-002", "s-000", "--json")
    assert json.loads(result.stdout)["sentence"].startswith("s-002 is better than s-000 by")
    assert "question 1: is s-002 better than s-000" in result.stderr


def test_a_question_is_neither_finalized_nor_replicated(project: Path, cli: Cli) -> None:
    ask(cli, "s-002", "s-000")
    for verb in ("finalize", "replicate"):
        assert cli(verb, "judge-1").exit_code == 2
    assert all("rung" in run.tags for run in written(project / "runs", sweep="judge-1"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s-000"], "s-000 is compared with nothing"),
        (["s-000", "s-000"], "s-000 and s-000 are the same configuration"),
        (["s-000", "quality=0.5"], "are the same configuration"),
        (["s-000", "s-009"], "no run 's-009'"),
        (["quality=1", "spread=2"], "are changes, of no configuration"),
        (["s-000", "qualty=1"], "'qualty=1': qualty"),
        (["s-000", "s-001", "--until", "95"], "95 is not a probability"),
        (["s-000", "s-001", "--budget", "soon"], "'soon' is not a duration"),
        (["s-000", "s.yaml"], "this sweep searches quality"),
    ],
)
def test_mistakes_are_refused_before_a_question_is_added(
    project: Path, arguments: list[str], message: str, cli: Cli
) -> None:
    result = ask(cli, *arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not (project / "runs" / QUESTIONS).exists()


def test_a_weaker_confidence_than_that_of_the_family_is_refused(project: Path, cli: Cli) -> None:
    ask(cli, "s-002", "s-000")
    result = ask(cli, "s-001", "s-000", "--until", 0.9)

    assert result.exit_code == 2
    assert "--until 0.9: the questions in runs are answered with 0.95 together" in result.stderr
    stricter = json.loads(ask(cli, "s-002", "s-000", "--until", 0.99, "--json").stdout)
    assert stricter["level"] == pytest.approx(0.0219 / 5, abs=1e-4)


def test_networks_are_judged_on_common_validation_images(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    plain = {"model": {"name": "simple", "width": 4}, "data": {"train_size": 300, "validation_size": 200}}
    one = write_yaml(tmp_path, plain, name="one.yaml")
    other = write_yaml(tmp_path, plain | {"data": {"train_size": 300, "validation_size": 100}}, name="other.yaml")
    tested = write_yaml(tmp_path, {"data": {"train_size": 300, "validation_size": 0}}, name="tested.yaml")

    for second, message in ((other, "different validation images: 200 of split 0 and 100"), (tested, "no validation")):
        result = ask(cli, one, second, "--runs", recorded_runs)
        assert result.exit_code == 2
        assert message in result.stderr


def test_both_outputs_follow_the_schema(project: Path, cli: Cli) -> None:
    schema = json.loads(cli("schema", "json", "judge").stdout)
    validator = jsonschema.Draft7Validator(schema)

    validator.validate(json.loads(ask(cli, "s-001", "s-000", "--seeds-at-most", 2, "--json").stdout))
    validator.validate(json.loads(ask(cli, "s-002", "s-000", "--json").stdout))
    validator.validate(json.loads(cli("judge", "--json").stdout))
    assert not validator.is_valid({"questions": [], "until": None, "more": 1})


@pytest.mark.usefixtures("instant_training")
def test_networks_are_compared_on_images_that_no_search_used(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    plain = {"epochs": 2, "model": {"name": "simple", "width": 16}, "data": {"train_size": 300, "validation_size": 200}}
    one = write_yaml(tmp_path, plain | {"optimizer": {"lr": 0.05}}, name="one.yaml")
    found = ask(cli, one, "optimizer.lr=0.02", "--seeds-at-most", 2, "--json", "--runs", recorded_runs)

    assert json.loads(found.stdout)["measured_on"] == "10,000 images that no search used"
    records = read_state(recorded_runs, "judge-1").records
    measured = [record.confirm.metrics["val_accuracy"] for record in records if record.confirm is not None]
    assert len(measured) == 4
    mean = sum(value for value, each in zip(measured, records, strict=True) if each.name == "one") / 2
    assert json.loads(found.stdout)["first"]["mean"] == pytest.approx(mean)
