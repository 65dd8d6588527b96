"""`TrainingConfig`: everything that decides a run's result, validated, with the identity that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cifar_core.errors import closest
from cifar_core.models.registry import ARCHITECTURES, is_import_path
from cifar_core.recipes import AugmentationOp, canonical_augmentation, parse_augmentation

KEY_VERSION = 1
"""Part of every key. Raised whenever a default changes or the same configuration would compute something else."""

TRAIN_IMAGES = 50_000


class StrictModel(BaseModel):
    """A frozen record that refuses unknown keys and names the closest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for name in values:
                if name not in cls.model_fields:
                    raise ValueError(f"unknown key {name!r}: {closest(str(name), list(cls.model_fields))}")
        return values


class ModelConfig(StrictModel):
    """Which network, and its shape. A field left at None takes the architecture's own default.

    An architecture ignores the fields it does not use, so that one search space can hold several of them.
    """

    name: str = "simple"
    """An architecture of this project, or `module:Class` for a network of your own."""
    width: int | None = Field(default=None, ge=1, le=4096)
    """Channels of the first convolution; the other convolutions and the head scale with it."""
    plan: tuple[int | Literal["M"], ...] | None = None
    """VGG: output channels of each 3×3 convolution at the default width, `M` for a 2×2 max-pool."""
    head: tuple[int, ...] | None = None
    """Widths of the hidden linear layers at the default width; the last layer to the classes is not listed."""
    activation: Literal["none", "relu", "gelu", "tanh"] | None = None
    """simple: what follows each hidden linear layer of the head."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Probability that a value of the head is dropped in training."""
    regularize_logits: bool | None = None
    """simple: apply activation and dropout to the logits too, as the notebook's *regularized* net does."""
    last_layer: Literal["swap", "append"] | None = None
    """torchvision_vgg16: replace the 1,000-class layer, or add a layer after it."""
    weights: str | None = None
    """torchvision_vgg16: a name of torchvision's weights, or a path to a saved state dict."""
    options: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    """Keyword arguments for a network of your own."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not is_import_path(self.name):
            if self.name not in ARCHITECTURES:
                raise ValueError(
                    f"unknown model {self.name!r}: {closest(self.name, sorted(ARCHITECTURES))}, "
                    "or your own as 'module:Class'"
                )
            if self.options:
                raise ValueError(f"options are for a network of your own, not for {self.name!r}")
        if self.plan is not None and not any(layer != "M" for layer in self.plan):
            raise ValueError("plan needs at least one convolution")
        if self.plan is not None and self.plan.count("M") > 5:
            raise ValueError("plan has more than five pools: a 32×32 image has no pixel left")
        for layer in (*(self.head or ()), *(self.plan or ())):
            if layer != "M" and layer < 1:
                raise ValueError(f"a layer needs at least one unit, not {layer}")
        return self

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the network's constructor, defaults filled in."""
        if is_import_path(self.name):
            return dict(self.options)
        defaults = ARCHITECTURES[self.name].defaults
        chosen = {name: getattr(self, name) for name in defaults}
        return {name: defaults[name] if value is None else value for name, value in chosen.items()}

    def canonical(self) -> dict[str, Any]:
        """Return the name and the fields that matter and differ from the architecture's defaults."""
        if is_import_path(self.name):
            return {"name": self.name, **({"options": dict(self.options)} if self.options else {})}
        defaults = ARCHITECTURES[self.name].defaults
        return {"name": self.name, **{k: v for k, v in self.arguments().items() if v != defaults[k]}}


class DataConfig(StrictModel):
    """Which images are trained on, in which order, and what is done to them."""

    train_size: int | None = Field(default=None, ge=1, le=TRAIN_IMAGES)
    """Training images, stratified by class; None takes all that validation leaves."""
    validation_size: int = Field(default=0, ge=0, lt=TRAIN_IMAGES)
    """Images set aside from the 50,000 training images, stratified by class."""
    split_seed: int = Field(default=0, ge=0)
    """Decides which images are set aside. Apart from the training seed, so that replicates share their split."""
    batch_size: int = Field(default=64, ge=1, le=TRAIN_IMAGES)
    shuffle: bool = True
    """A new order every epoch; False keeps the file's order."""
    normalization: Literal["none", "cifar10", "imagenet"] = "none"
    augmentation: str | tuple[AugmentationOp, ...] = "none"
    """The name of a recipe, or an ordered list of operations with one `normalize` among them."""

    @model_validator(mode="before")
    @classmethod
    def _parse_augmentation(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "augmentation" in values:
            return {**values, "augmentation": parse_augmentation(values["augmentation"])}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        wanted = (self.train_size or 1) + self.validation_size
        if wanted > TRAIN_IMAGES:
            raise ValueError(
                f"train_size + validation_size is {wanted}, but CIFAR-10 has {TRAIN_IMAGES} training images"
            )
        return self

    def canonical(self) -> dict[str, Any]:
        values = _without_defaults(self)
        if "augmentation" in values:
            values["augmentation"] = canonical_augmentation(self.augmentation)
        if values.get("augmentation") == "none":
            del values["augmentation"]
        if not self.validation_size and self.train_size in (None, TRAIN_IMAGES):
            values.pop("split_seed", None)
        if self.train_size == TRAIN_IMAGES - self.validation_size:
            values.pop("train_size", None)
        return values


class OptimizerConfig(StrictModel):
    """SGD, Adam or AdamW, as torch defines them."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """SGD only."""
    nesterov: bool = False
    """SGD only; without momentum it does nothing and is left out."""
    weight_decay: float = Field(default=0.0, ge=0)

    def canonical(self) -> dict[str, Any]:
        unused = set() if self.name == "sgd" else {"momentum", "nesterov"}
        if self.momentum == 0:
            unused.add("nesterov")
        return {k: v for k, v in _without_defaults(self).items() if k not in unused}


class ScheduleConfig(StrictModel):
    """How the learning rate goes over the run."""

    name: Literal["constant", "step", "cosine", "one_cycle"] = "constant"
    step_size: int = Field(default=5, ge=1)
    """step: epochs between two decays."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """step: factor of each decay."""
    min_lr: float = Field(default=0.0, ge=0)
    """cosine: the learning rate that the last epoch approaches."""
    warmup: float = Field(default=0.3, gt=0, lt=1)
    """one_cycle: share of the run in which the learning rate rises to `optimizer.lr`."""

    def canonical(self) -> dict[str, Any]:
        used = {
            "constant": set(),
            "step": {"step_size", "gamma"},
            "cosine": {"min_lr"},
            "one_cycle": {"warmup"},
        }[self.name] | {"name"}
        return {k: v for k, v in _without_defaults(self).items() if k in used}


class TrainingConfig(StrictModel):
    """Everything that decides a run's result, save the machine it runs on."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    epochs: int = Field(default=20, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """float16 needs CUDA; bfloat16 runs everywhere and is slow on a CPU."""

    def canonical(self) -> dict[str, Any]:
        """Return what identifies the configuration: no seed, no default, no field that is not used."""
        blocks = {
            "model": self.model.canonical(),
            "data": self.data.canonical(),
            "optimizer": self.optimizer.canonical(),
            "schedule": self.schedule.canonical(),
        }
        if blocks["model"] == {"name": "simple"}:
            del blocks["model"]
        result: dict[str, Any] = {name: block for name, block in blocks.items() if block}
        result["epochs"] = self.epochs
        if self.precision != "float32":
            result["precision"] = self.precision
        return result

    def resolved(self) -> dict[str, Any]:
        """Return every value the run uses, nested, defaults filled in, unused fields left out."""
        model = {"name": self.model.name, **self.model.arguments()}
        data = self.data.model_dump(mode="json")
        optimizer = self.optimizer.model_dump(mode="json")
        if self.optimizer.name != "sgd":
            del optimizer["momentum"], optimizer["nesterov"]
        used = {"step": ("step_size", "gamma"), "cosine": ("min_lr",), "one_cycle": ("warmup",)}
        schedule = {"name": self.schedule.name}
        schedule |= {field: getattr(self.schedule, field) for field in used.get(self.schedule.name, ())}
        data["augmentation"] = canonical_augmentation(self.data.augmentation)
        return {
            "model": model,
            "data": data,
            "optimizer": optimizer,
            "schedule": schedule,
            "epochs": self.epochs,
            "seed": self.seed,
            "precision": self.precision,
        }

    def config_id(self) -> str:
        """Return the hash of the configuration without its seed: equal for replicates."""
        return _digest(self.canonical())

    def key(self, *, data_fingerprint: str, source_hash: str | None = None) -> str:
        """Return the run's identity: configuration, seed and data; 16 hexadecimal digits.

        Args:
            data_fingerprint: of the training images (`Cifar10.fingerprint`).
            source_hash: of a user's own model (`cifar_core.models.source_hash`); None for the built-in ones.
        """
        identity = {
            "key_version": KEY_VERSION,
            "config": self.canonical(),
            "seed": self.seed,
            "data": data_fingerprint,
        }
        if source_hash is not None:
            identity["source"] = source_hash
        return _digest(identity)


def _without_defaults(model: StrictModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)


def _digest(value: Mapping[str, Any]) -> str:
    canonical_json = json.dumps(value, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(canonical_json.encode()).hexdigest()[:16]


def explain(error: ValidationError) -> list[str]:
    """Return one line per mistake, `key: what is wrong (got value)`, from a pydantic error."""
    lines = []
    for mistake in error.errors(include_url=False):
        place = ".".join(str(part) for part in mistake["loc"])
        message = mistake["msg"].removeprefix("Value error, ")
        value = mistake["input"]
        got = "" if mistake["type"] == "value_error" else f" (got {value!r})"
        lines.append(f"{place}: {message}{got}" if place else f"{message}{got}")
    return lines
