"""Configurations are read back from the record unchanged, from their JSON and from the params alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import epoch_with

from cifar_core.config import TrainingConfig
from sweeps.core.identity import Protocol
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.trial import MeasuredOn, Outcome, RungLabel, TrialRecord
from sweeps.record.mapping import (
    CONFIG,
    MAX_TAG,
    NOT_FINITE,
    environment_tags,
    epoch_metrics,
    params_of,
    read_not_finite,
    recorded_config,
    recorded_protocol,
    summary_metrics,
    tags_of,
)

IDENTITIES = Path(__file__).parents[2] / "fixtures" / "identities.json"
CONTENTS: list[dict[str, Any]] = [entry["input"] for entry in json.loads(IDENTITIES.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("index", range(len(CONTENTS)))
def test_any_configuration_comes_back_from_the_params_alone(index: int) -> None:
    config = TrainingConfig.model_validate(CONTENTS[index])

    found = recorded_config({}, params_of(config.resolved()))

    assert found is not None
    assert (found.canonical(), found.seed) == (config.canonical(), config.seed)


def test_the_json_takes_precedence_over_the_params() -> None:
    config = TrainingConfig.model_validate({"model": {"name": "nets:Tiny", "options": {"name": "mine"}}})

    assert recorded_config({CONFIG: config.model_dump_json()}, params_of(config.resolved())) == config


def test_a_run_that_was_stopped_early_keeps_its_full_length() -> None:
    config = TrainingConfig.model_validate({"epochs": 7})

    found = recorded_config({"epochs_done": "1"}, params_of(config.resolved()))

    assert found is not None
    assert found.epochs == 7


@pytest.mark.parametrize("option", ["[x", "8", "true"])
def test_ambiguous_params_are_not_guessed(option: str) -> None:
    config = TrainingConfig.model_validate({"model": {"name": "nets:Tiny", "options": {"depth": option}}})

    assert recorded_config({"config_id": config.config_id()}, params_of(config.resolved())) is None


def test_the_best_accuracy_is_of_the_best_epoch_not_the_last() -> None:
    config = TrainingConfig(epochs=3)
    epochs = tuple(
        EpochResult(
            epoch=epoch,
            seconds=2.0,
            finished_at=1000.0 + epoch,
            metrics={
                "train_loss": 1.0,
                "train_accuracy": 0.5,
                "val_loss": 1.0,
                "val_accuracy": accuracy,
                "learning_rate": 0.1,
                "images_per_second": 100.0,
            },
        )
        for epoch, accuracy in enumerate((0.5, 0.7, 0.6), start=1)
    )
    record = TrialRecord(
        sweep="s",
        study="s-1",
        number=0,
        key="k",
        config_id="c",
        config=config,
        outcome=Outcome.COMPLETE,
        epochs=epochs,
        started=1000.0,
        finished=1004.0,
        parameters=1_500_000,
    )

    found = {point.name: point.value for point in summary_metrics(record)}

    assert found == {"parameters_millions": 1.5, "epochs": 3, "train_seconds": 6.0, "best_val_accuracy": 0.7}
    assert all((point.step, point.timestamp_ms) == (0, 1_003_000) for point in summary_metrics(record))


def record(**changes: Any) -> TrialRecord:
    fields: dict[str, Any] = {
        "sweep": "quick", "study": "quick.2", "number": 1, "first_number": 20, "key": "k" * 16, "config_id": "c" * 16,
        "config": TrainingConfig(epochs=3, seed=5), "outcome": Outcome.COMPLETE, "started": 1000.0,
    }  # fmt: skip
    return TrialRecord(**fields | changes)


def epoch(number: int, **values: float) -> EpochResult:
    fields: dict[str, Any] = {
        "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, "learning_rate": 0.1,
        "seconds": 2.0, "images_per_second": 100.0, "finished_at": 1000.0 + number,
    }  # fmt: skip
    return epoch_with(number, **fields | values)


def test_a_runs_tags_keep_the_names_recorded_runs_are_found_by() -> None:
    config = TrainingConfig(epochs=3, seed=5)
    told = record(
        config=config,
        source="f" * 16,
        epochs=(epoch(1),),
        reused_from="run-1",
        error="it broke",
        error_class="OSError",
        log="sweeps/quick/logs/a.log",
        rung=RungLabel(name="deep", index=4, parent="batch-256", full_epochs=20, measured_on=MeasuredOn.VALIDATION),
        environment={"host": "node"},
    )

    assert tags_of(told) == {
        "format": "1",
        "kind": "trial",
        "sweep": "quick",
        "study": "quick.2",
        "trial": "21",
        "key": "k" * 16,
        "config_id": "c" * 16,
        "source": "f" * 16,
        "config": config.model_dump_json(),
        "seed": "5",
        "outcome": "complete",
        "epochs_done": "1",
        "rung": "deep",
        "rung_index": "4",
        "rung_parent": "batch-256",
        "full_epochs": "20",
        "measured_on": "validation",
        "reused_from": "run-1",
        "error": "it broke",
        "error_class": "OSError",
        "log": "sweeps/quick/logs/a.log",
        "host": "node",
    }
    of_a_rung = {"rung", "rung_index", "rung_parent", "full_epochs", "measured_on"}
    absent = {"source", "reused_from", "error", "error_class", "log", "host"} | of_a_rung
    assert set(tags_of(record())) == set(tags_of(told)) - absent | {"metric"}


def test_a_configuration_that_mlflow_would_cut_is_left_out() -> None:
    def json_of_length(length: int) -> TrainingConfig:
        model = {"name": "nets:Tiny", "options": {"text": ""}}
        without = len(TrainingConfig.model_validate({"model": model}).model_dump_json())
        model["options"] = {"text": "x" * (length - without)}
        return TrainingConfig.model_validate({"model": model})

    assert len(tags_of(record(config=json_of_length(MAX_TAG)))[CONFIG]) == MAX_TAG
    assert CONFIG not in tags_of(record(config=json_of_length(MAX_TAG + 1)))


def test_values_that_mlflow_cannot_store_are_read_from_a_tag() -> None:
    lost = record(
        epochs=(epoch(1), epoch(2, train_loss=math.inf, val_loss=math.nan)),
        test=TestResult(loss=-math.inf, correct=bytes(2), count=10),
    )

    found = read_not_finite(tags_of(lost)[NOT_FINITE])

    assert {name: str(value) for name, value in found.items()} == {
        ("train_loss", 2): "inf",
        ("val_loss", 2): "nan",
        ("test_loss", 0): "-inf",
    }
    assert NOT_FINITE not in tags_of(record(epochs=(epoch(1),), test=TestResult(loss=1.0, correct=b"", count=0)))
    assert [(p.name, p.step) for p in epoch_metrics(lost.epochs) if p.step == 2 and "loss" in p.name] == []
    assert "test_loss" not in {point.name for point in summary_metrics(lost)}


def test_of_a_long_run_of_infinities_the_newest_are_kept() -> None:
    epochs = tuple(epoch(number, train_loss=math.inf) for number in range(1, 1001))

    tag = tags_of(record(epochs=epochs))[NOT_FINITE]

    assert len(tag) <= MAX_TAG
    assert min(step for _, step in read_not_finite(tag)) > 1
    assert max(step for _, step in read_not_finite(tag)) == 1000


def test_the_summary_without_an_epoch_is_stamped_with_the_start() -> None:
    found = summary_metrics(record(outcome=Outcome.FAILED, parameters=2_000_000))

    assert {(p.name, p.value, p.step, p.timestamp_ms) for p in found} == {
        ("parameters_millions", 2.0, 0, 1_000_000),
        ("epochs", 0.0, 0, 1_000_000),
        ("train_seconds", 0.0, 0, 1_000_000),
    }


def test_a_fact_of_the_environment_never_replaces_a_tag() -> None:
    named = environment_tags({"outcome": "good", "mlflow.user": "me", "torch": "2.9", "a=b": "x" * (MAX_TAG + 1)})

    assert named.pop("a_b")[:10] == "x" * 10
    assert named == {"fact.outcome": "good", "fact.mlflow.user": "me", "torch": "2.9"}


@pytest.mark.parametrize(
    "data", [{"validation_size": 5000}, {"train_size": 100, "split_seed": 3, "validation_size": 1}]
)
def test_the_protocol_follows_from_the_params(data: dict[str, int]) -> None:
    config = TrainingConfig.model_validate({"epochs": 7, "data": data})

    assert recorded_protocol({}, params_of(config.dotted())) == Protocol.of(config)


def test_params_of_an_unknown_version_have_no_protocol() -> None:
    params = params_of(TrainingConfig().dotted())

    assert recorded_protocol({}, params | {"data.validation_size": "a tenth"}) is None
    assert recorded_protocol({}, {"epochs": "3"}) is None
