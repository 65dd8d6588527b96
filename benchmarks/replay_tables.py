"""Tables of learning curves for replays: TaskSet, LCBench, and the curves that `record_curves.py` has recorded.

TaskSet (Metz et al. 2020, as published with DyHPO, Wistuba et al. 2022) and the surrogate of LCBench (Zimmer et al.
2021, from YAHPO Gym, Pfisterer et al. 2022) are read from the folder in SWEEPS_CURVES, by default `../shared/curves`.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.core.results import EpochResult
from sweeps.core.task import Task
from sweeps.core.trial import Outcome
from sweeps.files.parameter import Parameter
from sweeps.files.space import SearchSpace
from sweeps.simulation.curves import Curve, Curves
from sweeps.tasks.function_signature import FunctionConfig

FOLDER = Path(os.environ.get("SWEEPS_CURVES", "../shared/curves"))
OWN = Path(os.environ.get("SWEEPS_OWN_CURVES", Path(__file__).parent / "curves.parquet"))
MIN_OWN = 20
"""With fewer recorded configurations any search tries most of them."""
LCBENCH_EPOCHS = 52
CONFIGURATIONS = 500
"""Random configurations of a table of LCBench."""
_LCBENCH_INPUTS = (
    *("epoch", "batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout"),
)
"""Order of the surrogate's numeric inputs, from YAHPO Gym's configuration `lcbench`. The file does not contain it."""
_LCBENCH_OUTPUTS = (
    *("time", "val_accuracy", "val_cross_entropy", "val_balanced_accuracy"),
    *("test_cross_entropy", "test_balanced_accuracy"),
)
SEARCH_SEED = 0
"""Of `record_curves.py`."""
_LINEAR = ("beta1", "beta2", "max_dropout", "momentum", "num_layers", "weight_decay")
"""Parameters whose range is not logarithmic."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of learning curves."""

    name: str
    curves: Curves
    epochs: int
    judged: bool
    """Whether it is kept for the judgement, after the choice of parameters on the others."""

    def regret(self, value: float) -> float:
        """Return a true value as a share of the way from the best configuration (0) to the median one (1)."""
        values = [curve.true_value for curve in (self.curves[index] for index in range(len(self.curves)))]
        best, median = self.curves.best, float(np.nanmedian(values))
        if median == best:  # most configurations are equally good
            return float(value != best)
        return (value - best) / (median - best)


class TableTask(Task[FunctionConfig]):
    """The type of configuration of a table. Nothing is trained."""

    config_type = FunctionConfig

    def __init__(self, name: str, fields: Sequence[str]) -> None:
        self.name = f"table:{name}"
        self._fields = fields

    @property
    def untyped_fields(self) -> Sequence[str]:
        return self._fields

    def start(self, config: FunctionConfig, part: Any, *, device: str) -> Any:
        raise NotImplementedError

    load = is_complete = start  # type: ignore[assignment]


def _curves(
    name: str,
    points: Mapping[str, Sequence[Any] | NDArray[Any]],
    ranges: Mapping[str, tuple[float, float] | list[Any]],
    *,
    observed: NDArray[Any],
    true_values: NDArray[Any],
    seconds: NDArray[Any] | None = None,
    metric: str,
    maximize: bool,
) -> Curves:
    """Return the curves of a table.

    Args:
        name: Of the table.
        points: Parameter to its values, of shape N.
        ranges: Parameter to its range, or to the list of its values.
        observed: Values of the metric, N×E. Those from the first NaN on are left out.
        true_values: Of shape N.
        seconds: Of each epoch, N×E; 1 by default.
        metric: Name of the metric.
        maximize: Whether a larger value is better.
    """
    parameters = {each: _parameter(each, values) for each, values in ranges.items()}
    epochs = observed.shape[1]
    base = {"train": f"{name}:curve", "epochs": epochs}
    space = SearchSpace(parameters=parameters, base=base, task=TableTask(name, list(ranges)))
    found = []
    for index in range(len(observed)):
        known = np.isfinite(observed[index])
        length = epochs if known.all() else int(np.argmin(known))
        if length == 0:
            continue
        assignment = {
            each: values[index] if isinstance(ranges[each], list) else type(ranges[each][0])(values[index])
            for each, values in points.items()
        }
        found.append(
            Curve(
                config=space.config(assignment),
                point=space.encode(assignment),
                epochs=tuple(
                    EpochResult(
                        epoch=epoch + 1,
                        seconds=1.0 if seconds is None else float(seconds[index, epoch]),
                        finished_at=0.0,
                        metrics={metric: float(observed[index, epoch])},
                    )
                    for epoch in range(length)
                ),
                outcome=Outcome.COMPLETE if length == epochs else Outcome.DIVERGED,
                true_value=float(true_values[index]) if length == epochs else float("nan"),
            )
        )
    return Curves(found, space=space, metric=metric, maximize=maximize)


def _parameter(name: str, values: tuple[float, float] | list[Any]) -> Parameter:
    if isinstance(values, list):
        return Parameter(values=values)
    low, high = values
    distribution = "uniform" if name in _LINEAR else "log_uniform_values"
    return Parameter(min=type(low)(low), max=type(low)(high), distribution=distribution)


def own() -> Iterator[Table]:
    """Yield the table of `record_curves.py`, for tuning; nothing while it has fewer than 20 configurations.

    A search observes the curve of the search's seed after whole epochs. The true value of a configuration is the mean
    of its further seeds; while it has none, its value under the search's seed.
    """
    import pyarrow.parquet

    content = pyarrow.parquet.read_table(OWN)
    at = [float(each) for each in content.schema.metadata[b"milestones"].split(b",")]
    whole = [index for index, milestone in enumerate(at) if milestone.is_integer()]
    rows = content.to_pylist()
    searched = [row for row in rows if row["seed"] == SEARCH_SEED]
    if len(searched) < MIN_OWN:
        return
    further: dict[str, list[float]] = {}
    for row in rows:
        if row["seed"] != SEARCH_SEED and not row["diverged"]:
            further.setdefault(row["config_id"], []).append(row["val_accuracy"][-1])
    observed = np.full((len(searched), len(whole)), np.nan)
    seconds = np.ones_like(observed)
    for index, row in enumerate(searched):
        known = [each for each in whole if each < len(row["val_accuracy"])]
        observed[index, : len(known)] = [row["val_accuracy"][each] for each in known]
        seconds[index, : len(known)] = np.diff([row["seconds"][each] for each in known], prepend=0.0)
    final = observed[:, -1]
    points = {
        "model.name": np.array([row["network"] for row in searched]),
        "data.batch_size": np.array([row["batch_size"] for row in searched], dtype=object),
        "data.augmentation": np.array([row["augmentation"] for row in searched]),
        "optimizer.lr": np.array([row["lr"] for row in searched]),
        "schedule": np.array([f"every {row['step_size']} times {row['gamma']:g}" for row in searched]),
    }
    ranges: dict[str, tuple[float, float] | list[Any]] = {
        name: sorted(set(values.tolist())) for name, values in points.items() if name != "optimizer.lr"
    }
    ranges["optimizer.lr"] = (float(points["optimizer.lr"].min()), float(points["optimizer.lr"].max()))
    confirmed = sum(row["config_id"] in further for row in searched)
    curves = _curves(
        "own",
        {name: values.tolist() for name, values in points.items()},
        ranges,
        observed=observed,
        true_values=np.array(
            [np.mean(further.get(row["config_id"], value)) for row, value in zip(searched, final, strict=True)]
        ),
        seconds=seconds,
        metric="val_accuracy",
        maximize=True,
    )
    yield Table(
        name=f"own {len(searched)} configurations, {confirmed} under further seeds",
        curves=curves,
        epochs=len(whole),
        judged=False,
    )


def taskset() -> Iterator[Table]:
    """Yield the six tables of TaskSet: 1,000 configurations of 50 points each. All of them are for tuning."""
    for file in sorted(FOLDER.glob("taskset-*.npz")):
        content = np.load(file)
        names = [str(name) for name in content["names"]]
        columns = content["configurations"].astype(float)
        points = {name: columns[:, index] for index, name in enumerate(names)}
        ranges = {name: (float(values.min()), float(values.max())) for name, values in points.items()}
        name = file.stem.removeprefix("taskset-")
        curves = _curves(
            "taskset",
            points,
            ranges,
            observed=content["valid_loss"][:, 1:],  # the first point is before the training
            true_values=content["test_loss"][:, -1],
            metric="valid_loss",
            maximize=False,
        )
        yield Table(name=f"taskset {name}", curves=curves, epochs=content["valid_loss"].shape[1] - 1, judged=False)


@functools.cache
def _lcbench() -> tuple[Any, Mapping[str, int], Mapping[str, Mapping[str, Any]]]:
    """Return the surrogate, the number of each data set, and the hyperparameters that are numbers."""
    import onnxruntime

    folder = FOLDER / "lcbench"
    encoding = json.loads((folder / "encoding.json").read_text(encoding="utf-8"))
    space = json.loads((folder / "config_space.json").read_text(encoding="utf-8"))["hyperparameters"]
    numbers = {each["name"]: each for each in space if each["type"] != "categorical"}
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    return session, encoding["OpenML_task_id"], dict(sorted(numbers.items()))


def lcbench(*, judged: bool) -> Iterator[Table]:
    """Yield the data sets of LCBench: those at even positions for tuning, those at odd ones for the judgement."""
    space = json.loads((FOLDER / "lcbench" / "config_space.json").read_text(encoding="utf-8"))["hyperparameters"]
    [tasks] = [each["choices"] for each in space if each["type"] == "categorical"]
    for position, task in enumerate(tasks):
        if position % 2 == judged:
            yield _lcbench_table(task, judged=judged)


def _lcbench_table(task: str, *, judged: bool) -> Table:
    session, tasks, numbers = _lcbench()
    draw = np.random.default_rng(int(task))
    points: dict[str, NDArray[Any]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, each in numbers.items():
        if name == "epoch":
            continue
        low, high = each["lower"], each["upper"]
        is_integer = each["type"] == "uniform_int"
        ends = np.log([low, high]) if each["log"] else np.array([low, high], dtype=float)
        drawn = draw.uniform(*ends, size=CONFIGURATIONS)
        values = np.exp(drawn) if each["log"] else drawn
        points[name] = np.clip(np.round(values) if is_integer else values, low, high)
        ranges[name] = (int(low), int(high)) if is_integer else (float(low), float(high))
    epochs = np.arange(1, LCBENCH_EPOCHS + 1)
    inputs = [
        np.tile(epochs, CONFIGURATIONS) if name == "epoch" else np.repeat(points[name], LCBENCH_EPOCHS)
        for name in _LCBENCH_INPUTS
    ]
    outputs = session.run(
        None,
        {
            "x_cat": np.full((CONFIGURATIONS * LCBENCH_EPOCHS, 1), tasks[task], dtype=np.int32),
            "x_cont": np.stack(inputs, axis=1).astype(np.float32),
        },
    )[0].reshape(CONFIGURATIONS, LCBENCH_EPOCHS, -1)
    curves = _curves(
        "lcbench",
        points,
        ranges,
        observed=outputs[:, :, _LCBENCH_OUTPUTS.index("val_balanced_accuracy")],
        true_values=outputs[:, -1, _LCBENCH_OUTPUTS.index("test_balanced_accuracy")],
        metric="balanced_accuracy",
        maximize=True,
    )
    return Table(name=f"lcbench {task}", curves=curves, epochs=LCBENCH_EPOCHS, judged=judged)


COLLECTIONS: Mapping[str, Callable[[], Iterator[Table]]] = {
    "taskset": taskset,
    "lcbench-tuning": functools.partial(lcbench, judged=False),
    "lcbench-judged": functools.partial(lcbench, judged=True),
    "own": own,
}
