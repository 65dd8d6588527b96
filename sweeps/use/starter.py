"""The text of a starter file: a sweep or a ladder that runs unchanged, with each key explained in a comment."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cifar_core.common.user_modules import is_import_path
from cifar_core.config import TEST_SHARE, DataConfig, TrainingConfig
from sweeps.files.scale import SIZED
from sweeps.files.schema import FileKind, schema_file
from sweeps.files.yaml_file import dump_yaml, flow_text

_CHECKOUT = Path(__file__).parents[2]

_HEAD = """\
# yaml-language-server: $schema={schema}
# `sweeps plan {file}` shows what this file would run, `sweeps {verb} {file}` runs it.
# `sweeps schema {kind}` lists every key.
name: {name}  # of the {kind}, and of its folder under runs/sweeps
limits: {{timeout: {time}}}  # stops then; the same command resumes. 2h, 1h30m, 90s
"""

_SWEEP = """\
description: {description}
method: {method}  # bayes: TPE, based on earlier trials | random | grid: all combinations
metric: {{name: val_accuracy, goal: maximize}}  # or val_loss, train_loss: minimize
run_cap: {run_cap}  # trials; a larger number extends the same sweep
seed: 0  # of the search; the training seed is base.seed
early_terminate: {{type: {early}}}  # asha | hyperband | median | none
"""

_REPLICATES = """\
replicates: {{top: {replicates}, seeds: {replicates}}}  # retrain the best under new seeds, to rule out chance
"""

_BASE = """\
base:  # shared by all trials: any field of a training configuration
  epochs: {epochs}  # passes over the training images
"""

_NETWORK = """\
  model: {{name: {networks}}}  # others: `sweeps inspect models`; your own: nets:Tiny
"""

_REST_OF_BASE = """\
  data: {data}  # of {images}
  optimizer: {{name: sgd, momentum: 0.9}}  # sgd | adam | adamw | muon
  schedule: {{name: cosine}}  # constant | step | cosine | warmup_cosine | one_cycle | triangular
parameters:  # searched: `values` to choose from, or a range from `min` to `max`
"""

_NETWORKS = """\
  model.name: {{values: [{networks}]}}  # others: `sweeps inspect models`; your own: nets:Tiny
"""

_WIDTH = """\
  model.width: {{values: {widths}{of_sized}}}  # channels of the first convolution
"""

_OPTIONS = """\
  # model.options.depth: {{values: [2, 4]{of_custom}}}  # an argument of its constructor
"""

_SEARCHED = """\
  optimizer.lr: {min: 0.001, max: 0.3, distribution: log_uniform_values}  # uniform in the logarithm
  optimizer.weight_decay: {values: [0, 0.0005, 0.005]}
  data.batch_size: {values: [32, 64, 128]}  # images of one train step
  data.normalization: {values: [none, DATASET, imagenet]}
  data.augmentation: {values: [none, flip, flip-crop]}  # or flip-erase-crop, pad-flip-gray-crop
"""

_GRID = """\
  optimizer.lr: {values: [0.003, 0.01, 0.03, 0.1]}
  data.batch_size: {values: [32, 128]}  # images of one train step
  data.augmentation: {values: [none, flip-crop]}  # or flip, flip-erase-crop, pad-flip-gray-crop
"""

_LADDER = """\
description: Gain of each change relative to the previous rung
base:  # configuration of the first rung: any field of a training configuration
  epochs: {epochs}  # passes over the training images
  data: {data}  # of {images}
  optimizer: {{name: sgd, lr: 0.02, momentum: 0.9}}  # sgd | adam | adamw | muon
  model: {first}  # others: `sweeps inspect models`; your own: nets:Tiny
rungs:  # in order; each changes the previous rung, or the one it names
  - name: baseline
  - name: normalized
    data: {{normalization: {dataset}}}  # none | {dataset} | imagenet
  - name: augmented
    data: {{augmentation: flip-crop}}  # or flip, flip-erase-crop, pad-flip-gray-crop
  - name: cosine
    schedule: {{name: cosine}}  # constant | step | cosine | warmup_cosine | one_cycle | triangular
"""

_RUNG = """\
  - name: {rung}
    from: cosine  # the rung that it changes and is compared with
    model: {network}
"""


VALIDATION_SHARE = 0.125
"""Share of the training images of a custom data set that is held out for validation."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of one trial."""

    train_size: int
    validation_size: int
    epochs: int
    widths: tuple[int, ...]
    """Channels of the first convolution to choose from."""


@dataclass(frozen=True, kw_only=True)
class Starter:
    """The options of a starter file."""

    name: str
    path: Path
    """Path of the file."""
    time: str
    """As in the file: 10m."""
    networks: tuple[str, ...]
    data: DataConfig = field(default_factory=DataConfig)
    """The data set; its numbers of images follow from the size."""
    is_ladder: bool = False
    method: Literal["bayes", "random", "grid"] = "bayes"
    early: bool = True
    """Whether to use early stopping."""
    replicates: int = 2
    """Number of best configurations to replicate, and of new seeds for each; 0 for none."""
    around: TrainingConfig | None = None
    """A recorded configuration to search around, at its size."""
    around_name: str = ""

    def text(self, size: Size, *, run_cap: int) -> str:
        """Return the file's text.

        Args:
            size: of each trial.
            run_cap: trials of a sweep.
        """
        kind: FileKind = "ladder" if self.is_ladder else "sweep"
        sized = [name for name in self.networks if name in SIZED]
        custom = [name for name in self.networks if is_import_path(name)]
        first, *others = self.networks
        whose = "CIFAR-10's " if self.data.about is None else ""
        description = f"Search of {'width and training' if sized else 'the training'} of {', '.join(self.networks)}"
        if self.around is not None:
            description = f"Search around {self.around_name}: learning rate, weight decay, batch size"
        values = {
            "schema": schema_reference(self.path, kind),
            "file": self.path.name,
            "verb": "ladder" if self.is_ladder else "run",
            "kind": kind,
            "name": _scalar(self.name),
            "time": self.time,
            "description": _scalar(description),
            "method": self.method,
            "run_cap": run_cap,
            "early": "asha, min_epochs: 1, reduction_factor: 3" if self.early else "none",
            "replicates": self.replicates,
            "networks": ", ".join(map(_scalar, self.networks)),
            "first": _network(first, size),
            "data": flow_text(self._data(size)),
            "images": f"{whose}{self.data.total_images:,} training images",
            "dataset": self._normalization,
            **vars(size),
            "widths": list(size.widths),
            "of_sized": f", when: {{model.name: [{', '.join(sized)}]}}" if others else "",
            "of_custom": f", when: {{model.name: ['{custom[0]}']}}" if others and custom else "",
        }
        if self.is_ladder:
            rungs = (_RUNG.format(rung=each.replace(":", "-"), network=_network(each, size)) for each in others)
            return (_HEAD + _LADDER).format_map(values) + "".join(rungs)
        parts = _HEAD + _SWEEP + (_REPLICATES if self.replicates else "")
        if self.around is not None:
            return parts.format_map(values) + _around(self.around)
        parts += _BASE + _REST_OF_BASE + _NETWORKS if others else _BASE + _NETWORK + _REST_OF_BASE
        space = (parts + (_WIDTH if sized else "") + (_OPTIONS if custom else "")).format_map(values)
        return space + (_GRID if self.method == "grid" else _SEARCHED.replace("DATASET", self._normalization))

    def fitted(self, size: Size) -> Size:
        """Return a size with no more images than the data set has."""
        data = self.data
        if data.about is None:
            return size
        held_out = data.about.validation_images or max(data.classes, int(data.total_images * VALIDATION_SHARE))
        most = data.total_images - (0 if data.has_own_validation or self.is_ladder else held_out)
        return replace(
            size,
            train_size=min(max(size.train_size, data.classes), most),
            validation_size=min(max(size.validation_size, data.classes), held_out),
        )

    @property
    def _normalization(self) -> str:
        return "cifar10" if self.data.about is None else "dataset"

    def _data(self, size: Size) -> dict[str, Any]:
        data = self.data
        own = {} if data.about is None else {"source": data.source, "image_size": data.image_size}
        validation_size = 0 if self.is_ladder else size.validation_size
        taken = 0 if data.has_own_validation else validation_size
        # Without train_size, images that are added later are trained on.
        is_all = data.about is not None and size.train_size + taken >= data.total_images
        sizes = {"train_size": 0 if is_all else size.train_size, "validation_size": validation_size}
        share = {} if data.test_share == TEST_SHARE else {"test_share": data.test_share}
        return own | share | {name: count for name, count in sizes.items() if count}


def schema_reference(path: Path, kind: FileKind) -> str:
    """Return the schema reference in a file's first line: a relative path inside this checkout, which may be moved.

    Elsewhere it is the URI of the installed schema: an editor reads it up to the first space.
    """
    schema, folder = schema_file(kind).resolve(), path.resolve().parent
    if folder.is_relative_to(_CHECKOUT) and (_CHECKOUT / "pyproject.toml").is_file():
        return Path(os.path.relpath(schema, folder)).as_posix()
    return schema.as_uri()


def _around(config: TrainingConfig) -> str:
    """Return the base and the parameters of a search around a configuration, which is the first trial."""
    lr, decay, batch = config.optimizer.lr, config.optimizer.weight_decay, config.data.batch_size
    batches = {max(1, batch // 2), batch, min(2 * batch, config.train_images())}
    content = {
        "start_with": [{"optimizer.lr": lr, "optimizer.weight_decay": decay, "data.batch_size": batch}],
        "base": config.canonical() | _own_data(config) | {"seed": config.seed},
        "parameters": {
            "optimizer.lr": {"min": lr / 4, "max": lr * 4, "distribution": "log_uniform_values"},
            "optimizer.weight_decay": {"values": sorted({0.0, 0.0005, 0.005, decay})},
            "data.batch_size": {"values": sorted(batches)},
        },
    }
    # Through JSON, which converts tuples to lists.
    return dump_yaml(json.loads(json.dumps(content)))


def _own_data(config: TrainingConfig) -> dict[str, Any]:
    """Return the block of a custom data set with its source, which the canonical block lacks; nothing for CIFAR-10."""
    data = config.data
    if data.about is None:
        return {}
    own = {"source": data.source, "image_size": data.image_size, "test_share": data.test_share}
    return {"data": own | data.canonical()}


def _network(name: str, size: Size) -> str:
    return flow_text({"name": name} | ({"width": size.widths[0]} if name in SIZED else {}))


def _scalar(text: str) -> str:
    """Return a text as a YAML scalar, quoted where flow style needs it."""
    return flow_text([text])[1:-1]
