"""Sweeps constructed for the tests of the report: trial records and rows of the leaderboard."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cifar_core.config import TrainingConfig
from sweeps.analysis.ranking import rank_configurations
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.mapping import params_of, tags_of
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.table import Row, row_of, table_of
from sweeps.record.trial_run import TrialRun, parse_run, parse_runs
from sweeps.search.state import SweepState
from sweeps.views.html.content import Content

START = 1_800_000_000.0


def trial(
    number: int,
    *,
    accuracies: Sequence[float | None] = (0.3, 0.4, 0.5),
    outcome: Outcome = Outcome.COMPLETE,
    epochs: int = 3,
    config: dict[str, Any] | None = None,
    begin: float | None = None,
    seconds: float = 10.0,
    **fields: Any,
) -> TrialRecord:
    """Return a trial whose epochs take `seconds` each, with these validation accuracies."""
    begin = START + 30.0 * number if begin is None else begin
    settings: dict[str, Any] = {
        "epochs": epochs,
        "model": {"name": ("simple", "resnet")[number % 2]},
        "optimizer": {"lr": 0.001 * 1.5 ** (number % 14)},
        "data": {"validation_size": 2000, "batch_size": (32, 64, 128)[number % 3]},
    }
    for block, value in (config or {}).items():
        settings[block] = settings[block] | value if isinstance(value, dict) else value
    made = TrainingConfig.model_validate(settings)
    results = tuple(
        EpochResult(
            epoch=epoch,
            seconds=seconds,
            finished_at=begin + seconds * epoch,
            metrics={
                name: value
                for name, value in {
                    "train_loss": 2.0 / epoch,
                    "train_accuracy": 0.2,
                    "val_loss": None if accuracy is None else 1 - accuracy,
                    "val_accuracy": accuracy,
                    "learning_rate": 0.01,
                    "images_per_second": 100.0,
                }.items()
                if value is not None
            },
        )
        for epoch, accuracy in enumerate(accuracies, start=1)
    )
    values: dict[str, Any] = {
        "sweep": "made",
        "study": "made-1",
        "number": number,
        "key": f"{number:016x}",
        "config_id": made.config_id(),
        "config": made,
        "outcome": outcome,
        "epochs": results,
        "started": begin,
        "finished": begin + seconds * len(results) + 1 if outcome.is_final else None,
        "parameters": 100_000 * (1 + number % 7),
    }
    return TrialRecord(**(values | fields))


def state_of(records: Sequence[TrialRecord], **options: Any) -> SweepState:
    values: dict[str, Any] = {"sweep": "made", "metric": "val_accuracy", "maximize": True, "runs": Path("/none")}
    return SweepState(records=records, **(values | options))


def content_of(records: Sequence[TrialRecord], *, now: float = START + 10_000, **options: Any) -> Content:
    """Return the content of a page, with a leaderboard that is ranked from the records."""
    fields = {name: options.pop(name) for name in ("rows", "effects", "comparisons", "rows_error") if name in options}
    state = state_of(records, **options)
    rows = board_of(state.records_and_replicates) if state.records else []
    return Content(**({"state": state, "rows": rows, "environment": {"machine": "made"}, "now": now} | fields))


def board_of(records: Sequence[TrialRecord]) -> Sequence[Row]:
    return rank_configurations(table_of(row_of(run) for run in parse_runs(map(_run, records))[0])).rows


def replicate(record: TrialRecord, *, seed: int, accuracy: float) -> TrialRecord:
    """Return a replicate of a trial under another seed."""
    epochs = tuple(replace(epoch, metrics={**epoch.metrics, "val_accuracy": accuracy}) for epoch in record.epochs)
    config = record.config.model_copy(update={"seed": seed})
    return replace(
        record, config=config, epochs=epochs, replicate_of=record.number, key=f"{record.number:08x}{seed:08x}",
        number=10 * record.number + seed, outcome=Outcome.COMPLETE,
    )  # fmt: skip


def many(count: int) -> list[TrialRecord]:
    """Return trials of which two thirds are pruned."""
    records = []
    for number in range(count):
        lr = 10 ** (-3 + 2.4 * ((number * 0.618) % 1))
        top = 0.75 - 0.1 * (math.log10(lr) + 1.7) ** 2 - 0.05 * (number % 4) / 4
        stopped = number % 3 != 0
        reached = 1 + number % 4 if stopped else 12
        curve = [top * (1 - math.exp(-epoch / 3)) for epoch in range(1, reached + 1)]
        config: dict[str, Any] = {
            "optimizer": {"lr": lr, "momentum": 0.5 + 0.4 * ((number * 0.37) % 1)},
            "model": {"name": ("simple", "deep", "resnet", "vgg")[number % 4]},
            "data": {
                "normalization": ("none", "cifar10", "imagenet")[number % 3],
                "augmentation": ("none", "flip-crop", "flip-erase-crop")[number % 3],
            },
        }  # fmt: skip
        outcome = Outcome.PRUNED if stopped else Outcome.COMPLETE
        begin = START + (number // 2) * 40.0
        records.append(
            trial(number, accuracies=curve, outcome=outcome, epochs=12, config=config, begin=begin, seconds=3.0)
        )
    return records


def figures(html: str) -> dict[str, dict[str, Any]]:
    """Return title of the data table → data of the figure."""
    found = re.findall(
        r'<script type="application/json">(.*?)</script>.*?class="aside">: (.*?)</span>', html, re.DOTALL
    )
    return {title: json.loads(content) for content, title in found}


def _run(record: TrialRecord) -> TrialRun:
    metrics = {"train_seconds": record.train_seconds, "images_per_second": 100.0}
    if record.parameters is not None:
        metrics["parameters_millions"] = record.parameters / 1e6
    if record.epochs and record.epochs[-1].value("val_accuracy") is not None:
        metrics |= {"val_accuracy": record.epochs[-1].metrics["val_accuracy"]}
    if record.test is not None:
        metrics["test_accuracy"] = record.test.accuracy
    found = parse_run(
        RecordedRun(
            run_id=record.key,
            name=record.name,
            status="FINISHED",
            start_ms=round(record.started * 1000),
            end_ms=None,
            tags=tags_of(record),
            params=params_of(record.config.resolved()),
            metrics=metrics,
        )
    )
    assert isinstance(found, TrialRun)
    return found
