"""A configuration comes back from the record as it went in: from its JSON, and from what version 0.1.0 wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cifar_core.config import TrainingConfig
from cifar_core.results import EpochResult
from sweeps.identity import Protocol
from sweeps.tracking.child_run import ChildRun
from sweeps.tracking.mapping import CONFIG, params_of, recorded_config, recorded_protocol, summary_metrics
from sweeps.trial_record import Outcome, TrialRecord

IDENTITIES = Path(__file__).parents[2] / "fixtures" / "identities-0.1.0.json"
CONTENTS: list[dict[str, Any]] = [entry["input"] for entry in json.loads(IDENTITIES.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("index", range(len(CONTENTS)))
def test_any_configuration_comes_back_from_the_params_alone(index: int) -> None:
    config = TrainingConfig.model_validate(CONTENTS[index])

    found = recorded_config({}, params_of(config.resolved()))

    assert found is not None
    assert (found.canonical(), found.seed) == (config.canonical(), config.seed)


def test_the_json_says_more_than_the_params_and_is_believed() -> None:
    config = TrainingConfig.model_validate({"model": {"name": "nets:Tiny", "options": {"name": "mine"}}})

    assert recorded_config({CONFIG: config.model_dump_json()}, params_of(config.resolved())) == config


def test_a_run_that_was_stopped_early_keeps_its_full_length() -> None:
    config = TrainingConfig.model_validate({"epochs": 7})

    found = recorded_config({"epochs_done": "1"}, params_of(config.resolved()))

    assert found is not None
    assert found.epochs == 7


def test_a_configuration_of_an_unknown_version_is_none_and_its_protocol_is_read_from_the_sentence() -> None:
    sentence = "2000 validation images of split 0, trained on 10000 for 7 epochs"
    params = {"model.name": "of_the_future", "epochs": "3"}

    assert recorded_config({}, params) is None
    assert str(recorded_protocol({"protocol": sentence}, params)) == sentence
    assert recorded_protocol({}, params) is None


def test_the_protocol_follows_from_the_params_and_not_from_the_sentence() -> None:
    config = TrainingConfig.model_validate({"epochs": 7, "data": {"validation_size": 5000}})
    old = {"protocol": "5000 validation images of split 0, trained on all for 7 epochs"}

    assert recorded_protocol(old, params_of(config.resolved())) == Protocol.of(config)


@pytest.mark.parametrize("option", ["[x", "8", "true"])
def test_what_the_params_cannot_say_is_not_guessed(option: str) -> None:
    config = TrainingConfig.model_validate({"model": {"name": "nets:Tiny", "options": {"depth": option}}})

    assert recorded_config({"config_id": config.config_id()}, params_of(config.resolved())) is None


def test_a_proven_source_outlives_an_edit_of_the_network() -> None:
    config = TrainingConfig.model_validate({"model": {"name": "nets:Tiny"}})
    unproven = TrialRecord(
        sweep="s", study="s", number=0, key="k", config_id="c", config=config, outcome=Outcome.COMPLETE, started=0.0
    )
    child = ChildRun(run_id="r", name="s-000", status="FINISHED", tags={"source": "abc", "error": "old"})

    assert child.outdated_tags(unproven) == ["error"]


def test_the_best_accuracy_is_of_the_best_epoch_and_not_of_the_last() -> None:
    config = TrainingConfig(epochs=3)
    epochs = tuple(
        EpochResult(
            epoch=epoch, train_loss=1.0, train_accuracy=0.5, val_loss=1.0, val_accuracy=accuracy, learning_rate=0.1,
            seconds=2.0, images_per_second=100.0, finished_at=1000.0 + epoch,
        )
        for epoch, accuracy in enumerate((0.5, 0.7, 0.6), start=1)
    )  # fmt: skip
    record = TrialRecord(
        sweep="s", study="s-1", number=0, key="k", config_id="c", config=config, outcome=Outcome.COMPLETE,
        epochs=epochs, started=1000.0, finished=1004.0, parameters=1_500_000,
    )  # fmt: skip

    found = {point.name: point.value for point in summary_metrics(record)}

    assert found == {"parameters_millions": 1.5, "epochs": 3, "train_seconds": 6.0, "best_val_accuracy": 0.7}
    assert all((point.step, point.timestamp_ms) == (0, 1_003_000) for point in summary_metrics(record))
