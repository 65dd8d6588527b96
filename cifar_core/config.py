"""`TrainingConfig`: every value that determines a run's result, validated, and the run's identity."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from cifar_core.common.digest import digest
from cifar_core.common.errors import closest
from cifar_core.common.user_modules import LIBRARIES, is_import_path, library_of
from cifar_core.common.validation import StrictModel
from cifar_core.datasets.about import CIFAR10, DataAbout
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.known import about_of
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.operations.normalize import NORMALIZATIONS, Constants
from cifar_core.operations.operation import Operation
from cifar_core.operations.registry import AnyOperation
from cifar_core.optimizers.registry import OPTIMIZERS
from cifar_core.recipes import canonical_augmentation, operations_of, parse_augmentation

KEY_VERSION = 1
"""Part of every key. Raised whenever a default changes or the same configuration would compute other results."""

TRAIN_IMAGES = 50_000
TEST_IMAGES = 10_000
CLASSES = 10
TEST_SHARE = 0.2
IMAGE_SIZE = 32
LAST_SEED = 2**32 - 1
"""The largest allowed seed."""

FIELDS_OF_KIND: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "model": {name: tuple(architecture.defaults) for name, architecture in ARCHITECTURES.items()},
    "optimizer": {name: optimizer.fields for name, optimizer in OPTIMIZERS.items()},
    "schedule": {
        "constant": (),
        "step": ("step_size", "gamma"),
        "cosine": ("min_lr",),
        "one_cycle": ("warmup",),
        "triangular": ("warmup", "start_factor", "end_factor"),
        "warmup_cosine": ("warmup", "start_factor", "min_lr"),
    },
}
"""Block to kind (a value of the block's `name`) to the fields that this kind uses.

The single definition: identity, record, a search's warnings and differences between configurations derive from it. A
field that its kind does not use has no effect.
"""

RESET_BY_NAME = ("model", "schedule")
"""Blocks whose other fields have another meaning under another `name`: overriding the name resets them."""

_PLAIN_FIELDS = ("precision", "label_smoothing", "averaging", "test_time_augmentation")
"""Fields outside the blocks that are left out of the identity where they have their defaults."""

OWN_DATA_FIELDS = ("image_size", "test_share", "about", "source")
"""Fields of `DataConfig` for custom data sets."""

GIVEN_OPTIONS: Mapping[str, str] = {
    "num_classes": "the data",
    "img_size": "data.image_size",
    "image_size": "data.image_size",
    "input_size": "data.image_size",
    "pretrained": "model.pretrained",
    "weights": "model.weights",
}
"""Keyword arguments of the networks of libraries that may not be in `model.options`, with what determines them."""

EPOCH_FIELDS = ("schedule.step_size",)
"""Fields counted in epochs: they are scaled with a shortened run."""


def fields_of_kind(block: str, name: str) -> tuple[str, ...]:
    """Return the fields that a block uses under a name, except the name itself."""
    if block == "model" and library_of(name):
        return ("pretrained", "weights", "options")
    return ("options",) if block == "model" and is_import_path(name) else FIELDS_OF_KIND[block][name]


def _later(default: Any, **constraints: Any) -> Any:
    """Return a field that earlier versions lack. It is not stored at its default, so that old records stay equal."""
    return Field(default=default, exclude_if=lambda value: value == default, **constraints)


class ModelConfig(StrictModel):
    """The network and its shape. A field without a value takes the default of the architecture.

    An architecture ignores fields that it does not use, so that one search space can contain several architectures.
    """

    name: str = "simple"
    """Name of an architecture, `timm:NAME` or `torchvision:NAME` of a network of these libraries, or `module:Class` of
    a custom network."""
    width: int | None = Field(default=None, ge=1, le=4096)
    """Channels of the first convolution. The other convolutions and the head scale with it."""
    plan: tuple[int | Literal["M"], ...] | None = None
    """Output channels of each 3×3 convolution at the default width, and `M` for a 2×2 max-pool."""
    head: tuple[int, ...] | None = None
    """Widths of the hidden linear layers at the default width, without the last layer to the classes."""
    activation: Literal["none", "relu", "gelu", "tanh"] | None = None
    """simple: activation after each hidden linear layer of the head. lean: activation after every convolution."""
    inner_activation: Literal["none", "relu", "gelu", "tanh"] | None = None
    """Activation between the convolutions of a stage and after the hidden layers of the head; none by default."""
    stem: Literal["none", "learned", "whitened"] | None = None
    """First 2×2 convolution: none, a trained one, or a fixed one that whitens the images."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout probability in the head. wide_resnet: between the two convolutions of a block."""
    channel_dropout: float | None = _later(None, ge=0, lt=1)
    """Probability that a channel of the feature maps is dropped after each stage."""
    squeeze_excitation: bool | None = _later(None)
    """Scale the channels of each block's convolutions by factors that a small network computes from their means."""
    stochastic_depth: float | None = _later(None, ge=0, lt=1)
    """Probability that an image skips the convolutions of the last block in training. It rises linearly over the
    blocks."""
    depth: int | None = _later(None, ge=10, le=1000)
    """Number of layers with weights, 6n + 4 for n blocks per stage: 10, 16, 22, 28, 40."""
    widen_factor: int | None = _later(None, ge=1, le=64)
    """Channels of the blocks, relative to those of a residual network with as many layers (16, 32, 64)."""
    regularize_logits: bool | None = None
    """Apply activation and dropout to the logits too. The rung *regularized* of `experiments/ladder.yaml` does."""
    residual: bool | None = None
    """Whether each block adds its shortcut."""
    last_layer: Literal["swap", "append"] | None = None
    """`swap` replaces the 1,000-class layer, `append` adds a layer after it."""
    pretrained: bool | None = _later(None)
    """timm:NAME, torchvision:NAME: start from the weights that the library provides, which it downloads once. The last
    layer is new unless the number of classes is equal."""
    weights: str | None = None
    """Path of a saved state dict, or a name of weights of torchvision. Also for timm:NAME and torchvision:NAME."""
    options: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    """Keyword arguments of a custom network, timm:NAME or torchvision:NAME. Any of them can be searched:
    `model.options.depth`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if library_of(self.name):
            self._check_library()
        elif not is_import_path(self.name):
            if self.name not in ARCHITECTURES:
                raise ValueError(
                    f"unknown model {self.name!r}: {closest(self.name, sorted(ARCHITECTURES))}, "
                    f"{', '.join(f'{library}:NAME' for library in LIBRARIES)}, or a custom network as 'module:Class'"
                )
            if self.options:
                raise ValueError(f"options are for a custom network, not for {self.name!r}")
        if self.plan is not None and not any(layer != "M" for layer in self.plan):
            raise ValueError("plan needs at least one convolution")
        for layer in (*(self.head or ()), *(self.plan or ())):
            if layer != "M" and layer < 1:
                raise ValueError(f"a layer needs at least one unit, not {layer}")
        self._check_blocks()
        return self

    def _check_blocks(self) -> None:
        values = self.arguments()
        if values.get("stochastic_depth") and values.get("residual") is False:
            raise ValueError("stochastic_depth needs residual: true, which leaves the shortcut of a skipped block")
        if "depth" in fields_of_kind("model", self.name) and (values["depth"] - 4) % 6:
            least = values["depth"] - (values["depth"] - 4) % 6
            raise ValueError(
                f"depth {values['depth']}: {self.name} has 6n + 4 layers. Use {max(10, least)} or {least + 6}"
            )

    def _check_library(self) -> None:
        library, _, name = self.name.partition(":")
        if not name:
            raise ValueError(f"{self.name!r} names no network: write one such as {library}:resnet18")
        if self.pretrained and self.weights is not None:
            raise ValueError("pretrained and weights both name initial weights: remove one of them")
        for option in self.options.keys() & GIVEN_OPTIONS:
            raise ValueError(f"options.{option} follows from {GIVEN_OPTIONS[option]}: remove it")

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the network's constructor, with defaults."""
        if is_import_path(self.name):
            return dict(self.options)
        if library_of(self.name):
            return {"pretrained": bool(self.pretrained), "weights": self.weights, "options": dict(self.options)}
        defaults = ARCHITECTURES[self.name].defaults
        chosen = {field: getattr(self, field) for field in fields_of_kind("model", self.name)}
        return {field: defaults[field] if value is None else value for field, value in chosen.items()}

    def canonical(self) -> dict[str, Any]:
        """Return the name and the used fields that differ from the architecture's defaults."""
        if is_import_path(self.name):
            return {"name": self.name, **({"options": dict(self.options)} if self.options else {})}
        if library_of(self.name):
            return {"name": self.name, **{field: value for field, value in self.arguments().items() if value}}
        defaults = ARCHITECTURES[self.name].defaults
        return {"name": self.name, **{k: v for k, v in self.arguments().items() if v != defaults[k]}}


class DataConfig(StrictModel):
    """The images, their order, and their augmentation."""

    image_size: int = Field(default=IMAGE_SIZE, ge=8, le=1024, multiple_of=2)
    """Side of the images in pixels, even. Every image of a custom data set is scaled to it by its shorter side, and
    cropped to the centre."""
    test_share: float = Field(default=TEST_SHARE, gt=0, lt=1)
    """Share of the images that is set aside as the test part of a custom data set that has none."""
    about: SkipJsonSchema[DataAbout | None] = None
    source: str = CIFAR10
    """Data set: `cifar10`, or one of your own as `folder:PATH`, `csv:FILE`, `npz:FILE` or another form that
    `sweeps data --help` lists. It is the same for all trials of a sweep."""
    train_size: int | None = Field(default=None, ge=1)
    """Number of training images, stratified by class. Without it, all that are not held out for validation."""
    validation_size: int = Field(default=0, ge=0)
    """Number of images held out of the training images for validation, stratified by class. Of a data set with its own
    validation part: number of images to take from that part."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of the split. It is not the training seed, so that replicates share their split."""
    batch_size: int = Field(default=64, ge=1)
    """Images per train step."""
    shuffle: bool = True
    """Draw a new order every epoch. `false` keeps the order of the file."""
    normalization: Literal["none", "cifar10", "imagenet", "dataset"] = "none"
    """Channel means and standard deviations for the normalisation of the images. `dataset`: those of the training
    images."""
    augmentation: str | tuple[AnyOperation, ...] = "none"
    """Name of a recipe, or an ordered list of operations, exactly one of them `normalize`."""
    start_size: int = Field(default=IMAGE_SIZE, ge=8, multiple_of=2)
    """Side of the images in the first epoch, in pixels, even. It grows linearly to `image_size`, which is its default.
    Only for a network that accepts images of any size: lean and resnet18, from 10 pixels, wide_resnet, from 8, or a
    custom one."""
    grown_at: float = Field(default=0.7, gt=0, le=1)
    """Share of the epochs after which growing images have their full size."""
    mixup: float = _later(0.0, ge=0, le=100)
    """Mix each training image, and its label, with another one of the batch in shares from Beta(α, α) with this α
    (Zhang et al. 2018); 0 for off. Train accuracy then counts the class with the larger share, and the mixed labels are
    smoothed by `label_smoothing`."""
    cutmix: float = _later(0.0, ge=0, le=100)
    """As `mixup`, but a rectangle of the image is replaced by that of the other one (Yun et al. 2019). If both are on,
    each image has one of them, by chance."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Add what is known of a custom data set, and the default of `start_size`, which is the size of its images."""
        if not isinstance(values, Mapping) or values.get("source", CIFAR10) == CIFAR10:
            return values
        values, size = dict(values), values.get("image_size", IMAGE_SIZE)
        values.setdefault("start_size", size)
        if values.get("about") is None:
            with contextlib.suppress(DataError, TypeError):
                share = values.get("test_share", TEST_SHARE)
                values["about"] = about_of(values["source"], image_size=size, test_share=share)
        return values

    @field_validator("source")
    @classmethod
    def _check_source(cls, value: str, info: ValidationInfo) -> str:
        size, share = info.data.get("image_size"), info.data.get("test_share")
        if value == CIFAR10:
            if size not in (None, IMAGE_SIZE):
                raise ValueError(
                    f"the images of cifar10 have {IMAGE_SIZE} pixels: leave image_size out, or use "
                    "torchvision:CIFAR10, whose images are scaled"
                )
        elif info.data.get("about") is None and size is not None and share is not None:
            try:
                about_of(value, image_size=size, test_share=share)
            except DataError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("train_size", "validation_size", "batch_size")
    @classmethod
    def _check_number(cls, value: int | None, info: ValidationInfo) -> int | None:
        if "source" not in info.data or value is None:
            return value  # the source itself is wrong
        about: DataAbout | None = info.data["about"]
        most = TRAIN_IMAGES if about is None else about.train_images
        if info.field_name == "batch_size" and about is not None:
            return value  # one batch has all images
        if info.field_name == "validation_size":
            most = about.validation_images if about is not None and about.validation_images else most - 1
        if value > most:
            raise ValueError(f"should be less than or equal to {most} (got {value}), {_has(about)}")
        return value

    @field_validator("augmentation", mode="before")
    @classmethod
    def _parse_augmentation(cls, value: Any, info: ValidationInfo) -> Any:
        return parse_augmentation(value, size=info.data.get("image_size", IMAGE_SIZE))

    @field_validator("start_size")
    @classmethod
    def _check_start_size(cls, value: int, info: ValidationInfo) -> int:
        size = info.data.get("image_size", value)
        if "source" in info.data and value > size:
            raise ValueError(f"should be less than or equal to {size} (got {value}): images grow to image_size")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        requested = (self.train_size or 1) + (0 if self.has_own_validation else self.validation_size)
        if requested > self.total_images:
            raise ValueError(f"train_size + validation_size is {requested}, but {_has(self.about)}")
        if self.about is not None:
            for name, size in (("train_size", self.train_size), ("validation_size", self.validation_size)):
                if size and size < self.about.classes:
                    raise ValueError(
                        f"{name} {size} is less than the {self.about.classes} classes: each needs at least one image"
                    )
        return self

    @model_serializer(mode="wrap")
    def _without_cifar10(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the fields of custom data for CIFAR-10: records of earlier versions lack them."""
        values: dict[str, Any] = handler(self)
        if self.source == CIFAR10:
            for name in OWN_DATA_FIELDS:
                values.pop(name, None)
        return values

    @classmethod
    def _advice(cls, name: str) -> str:
        return closest(name, [field for field in cls.model_fields if field != "about"])

    @property
    def total_images(self) -> int:
        """Number of images in the training part, those held out for validation among them."""
        return TRAIN_IMAGES if self.about is None else self.about.train_images

    @property
    def test_images(self) -> int:
        return TEST_IMAGES if self.about is None else self.about.test_images

    @property
    def classes(self) -> int:
        return CLASSES if self.about is None else self.about.classes

    @property
    def has_own_validation(self) -> bool:
        """Whether validation images are taken from a part of their own, and none from the training images."""
        return self.about is not None and self.about.validation_images > 0

    @property
    def constants(self) -> Constants:
        """Means and standard deviations that `normalization` names."""
        if self.normalization == "dataset" and self.about is not None:
            return self.about.mean, self.about.std
        return NORMALIZATIONS["cifar10" if self.normalization == "dataset" else self.normalization]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations of `augmentation`, in order."""
        return operations_of(self.augmentation, size=self.image_size)

    def recorded(self) -> dict[str, Any]:
        """Return every field, as JSON, that a screen or a record shows."""
        values = self.model_dump(mode="json", exclude={"about"}) | {"mixup": self.mixup, "cutmix": self.cutmix}
        return values | {"augmentation": canonical_augmentation(self.augmentation, size=self.image_size)}

    def canonical(self) -> dict[str, Any]:
        values = _without_defaults(self)
        for name in OWN_DATA_FIELDS:  # the fingerprint identifies the data
            values.pop(name, None)
        if "augmentation" in values:
            values["augmentation"] = canonical_augmentation(self.augmentation, size=self.image_size)
        if values.get("augmentation") == "none":
            del values["augmentation"]
        if values.get("normalization") == "dataset" and self.about is None:
            values["normalization"] = "cifar10"
        if self.start_size == self.image_size:
            values.pop("start_size", None)
            values.pop("grown_at", None)
        held_out = 0 if self.has_own_validation else self.validation_size
        if not self.validation_size and self.train_size in (None, self.total_images):
            values.pop("split_seed", None)
        if self.train_size == self.total_images - held_out:
            values.pop("train_size", None)
        return values


def _has(about: DataAbout | None) -> str:
    if about is None:
        return f"CIFAR-10 has {TRAIN_IMAGES} training images"
    own = f" and {about.validation_images} validation images" if about.validation_images else ""
    return f"the data set has {about.train_images} training images{own}"


class OptimizerConfig(StrictModel):
    """SGD, Adam or AdamW of PyTorch, or Muon."""

    name: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    """Name of the optimizer. `muon` trains the convolutions and linear layers between the first and the last one along
    orthogonalised momentum (Jordan et al. 2024), and all other parameters by SGD with Nesterov momentum."""
    lr: float = Field(default=0.01, gt=0)
    """Learning rate, before the schedule changes it. muon: of the orthogonalised layers, such as 0.24."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Momentum of SGD. muon: of the orthogonalised layers, such as 0.6, and always Nesterov's."""
    nesterov: bool = False
    """Nesterov momentum of SGD. It has no effect without momentum."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty of SGD and Adam. AdamW decouples it from the gradient. muon: of the layers that SGD trains; the others
    have a fixed norm."""
    bias_lr_factor: float = Field(default=1.0, gt=0)
    """Factor of the learning rate of biases, those of batch norms too. Their effective decay stays the same. muon:
    relative to `sgd_lr`."""
    sgd_lr: float = _later(0.1, gt=0)
    """Learning rate of the parameters that muon trains by SGD. The schedule changes it by the same factor as `lr`."""
    sgd_momentum: float = _later(0.85, ge=0, lt=1)
    """Nesterov momentum of the parameters that muon trains by SGD."""
    clip_norm: float | None = _later(None, gt=0)
    """Largest Euclidean norm of the gradient of all parameters together: a larger one is scaled down to it. None leaves
    the gradient as it is."""
    sam_rho: float = _later(0.0, ge=0)
    """Distance, along the gradient, of the weights at which the gradient for the step is computed, in a second pass
    (sharpness-aware minimisation, Foret et al. 2021); 0 for off. A step takes twice the time."""

    def canonical(self) -> dict[str, Any]:
        values = _used_without_defaults(self, block="optimizer")
        if self.momentum == 0:
            values.pop("nesterov", None)
        return values


class ScheduleConfig(StrictModel):
    """Schedule of the learning rate."""

    name: Literal["constant", "step", "cosine", "one_cycle", "triangular", "warmup_cosine"] = "constant"
    """Name of the schedule. `step` is StepLR of PyTorch. `triangular` rises and falls linearly, step by step.
    `warmup_cosine` rises linearly and falls as a cosine, step by step."""
    step_size: int = Field(default=5, ge=1)
    """Epochs between two decays."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """Factor of each decay."""
    min_lr: float = Field(default=0.0, ge=0)
    """Learning rate that the last epoch, or the last step of `warmup_cosine`, approaches."""
    warmup: float = Field(default=0.3, gt=0, lt=1)
    """Share of the run in which the learning rate rises to `optimizer.lr`."""
    start_factor: float = Field(default=0.2, ge=0, le=1)
    """Share of `optimizer.lr` at the first train step."""
    end_factor: float = Field(default=0.0, ge=0, le=1)
    """Share of `optimizer.lr` that the line reaches after the last train step."""

    def canonical(self) -> dict[str, Any]:
        return _used_without_defaults(self, block="schedule")


class TrainingConfig(StrictModel):
    """Everything that decides the result of a run, except the machine."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    epochs: int = Field(default=20, ge=1)
    """Passes over the training images."""
    seed: int = Field(default=0, ge=0, lt=LAST_SEED + 1)
    """Seed of the initial weights, the order of the images, augmentation and dropout."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of training. `float16` needs CUDA. `bfloat16` is slow on a CPU."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each label that is spread evenly over all classes, in training only."""
    averaging: Literal["none", "lookahead", "ema", "swa"] = "none"
    """`lookahead`: every 5 train steps, set the weights to their running average, which smooths more and more. `ema`:
    evaluate, and keep at the end, an exponential moving average of the weights with a mean age of a quarter epoch.
    `swa`: the same with the equal average over the steps of the last quarter of the epochs; earlier epochs evaluate the
    weights themselves. Running statistics of batch norms are averaged too."""
    test_time_augmentation: Literal["none", "flip", "flip-shift"] = "none"
    """Average the logits over views of an image. `flip`: the image and its mirror image. `flip-shift`: also both
    shifted by a pixel."""

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        architecture, size = ARCHITECTURES.get(self.model.name), self.data.image_size
        pools = (self.model.arguments().get("plan") or ()).count("M") if architecture is not None else 0
        if size >> pools == 0:
            raise ValueError(
                f"model.plan has {pools} pools, which leave no pixel of a {size}×{size} image: remove some"
            )
        if architecture is not None and size < architecture.least_image:
            raise ValueError(
                f"data.image_size {size}: {self.model.name!r} needs images of at least {architecture.least_image} "
                "pixels"
            )
        if architecture is not None and self.data.start_size < min(architecture.least_size, size):
            alternatives = ", ".join(
                f"{name} (at least {each.least_size})"
                for name, each in ARCHITECTURES.items()
                if each.least_size < IMAGE_SIZE
            )
            raise ValueError(
                f"data.start_size {self.data.start_size}: {self.model.name!r} needs images of at least "
                f"{architecture.least_size} pixels. For smaller ones use {alternatives} or a custom network"
            )
        return self

    def canonical(self) -> dict[str, Any]:
        """Return the values that identify the configuration, without the seed, defaults and unused fields."""
        blocks: dict[str, dict[str, Any]] = {
            "model": self.model.canonical(),
            "data": self.data.canonical(),
            "optimizer": self.optimizer.canonical(),
            "schedule": self.schedule.canonical(),
        }
        if blocks["model"] == {"name": "simple"}:
            del blocks["model"]
        result: dict[str, Any] = {name: block for name, block in blocks.items() if block}
        result["epochs"] = self.epochs
        plain = _without_defaults(self)
        return result | {name: plain[name] for name in _PLAIN_FIELDS if name in plain}

    def resolved(self) -> dict[str, Any]:
        """Return every value that the run uses, nested, with defaults, without unused fields."""
        # The name again at the end: a custom network may have an option called `name`.
        model = {"name": self.model.name} | self.model.arguments() | {"name": self.model.name}
        optimizer, schedule = _used(self.optimizer, block="optimizer"), _used(self.schedule, block="schedule")
        return {
            "model": model,
            "data": self.data.recorded(),
            "optimizer": optimizer,
            "schedule": schedule,
            "epochs": self.epochs,
            "seed": self.seed,
            **{name: getattr(self, name) for name in _PLAIN_FIELDS},
        }

    def dotted(self, *, only_non_default: bool = False) -> dict[str, Any]:
        """Return every value that the run uses, under the dotted path that sets it in a file: `model.options.act`.

        Args:
            only_non_default: leave out defaults and the seed.
        """
        values = self.canonical() if only_non_default else self.resolved()
        if is_import_path(self.model.name) or library_of(self.model.name):
            fields = {} if is_import_path(self.model.name) else dict(values["model"])
            fields.pop("options", None)
            options = {f"options.{option}": value for option, value in self.model.options.items()}
            values["model"] = {"name": self.model.name} | fields | options
        blocks = {name: value if isinstance(value, dict) else {"": value} for name, value in values.items()}
        return {
            f"{block}.{field}" if field else block: value
            for block, fields in blocks.items()
            for field, value in fields.items()
        }

    def train_images(self) -> int:
        """Return the number of images that an epoch trains on."""
        held_out = 0 if self.data.has_own_validation else self.data.validation_size
        return self.data.train_size or self.data.total_images - held_out

    def protocol(self) -> dict[str, Any]:
        """Return the values that comparable runs have in common: data, numbers of images, split seed, epochs.

        `split_seed` is 0 where all images are trained on, since nothing is split.
        """
        data, train_images = self.data, self.train_images()
        return {
            "train_images": train_images,
            "validation_images": data.validation_size,
            "split_seed": 0 if train_images == data.total_images and not _is_drawn(data) else data.split_seed,
            "epochs": self.epochs,
            "data": self.fingerprint,
            "test_images": data.test_images,
            "classes": data.classes,
        }

    @property
    def fingerprint(self) -> str:
        """Fingerprint of a custom data set; empty for CIFAR-10."""
        return "" if self.data.about is None else self.data.about.fingerprint

    def shortened(self, scale: float) -> TrainingConfig:
        """Return the configuration with a share of its epochs, at least one. Fields counted in epochs are scaled."""
        config = self.model_copy(update={"epochs": _scaled(self.epochs, scale)})
        for path in EPOCH_FIELDS:
            block, _, field = path.partition(".")
            values = getattr(config, block)
            shorter = values.model_copy(update={field: _scaled(getattr(values, field), scale)})
            config = config.model_copy(update={block: shorter})
        return config

    def without_initial_weights(self) -> TrainingConfig:
        """Return the configuration with random initial weights, for a network whose trained weights are loaded."""
        unset = {"weights": None, "pretrained": None}
        return self.model_copy(update={"model": self.model.model_copy(update=unset)})

    def image_size(self, epoch: int) -> int:
        """Return the side in pixels of the training images in an epoch, counted from 1."""
        size = self.data.image_size
        share = min(1.0, (epoch - 1) / (self.epochs * self.data.grown_at))
        grown = self.data.start_size + share * (size - self.data.start_size)
        return size if share == 1 else 2 * int(grown / 2)

    def is_same_run(self, other: TrainingConfig) -> bool:
        """Return whether two configurations are equal except for fields without effect."""
        ours, theirs = ((each.canonical(), each.seed, each.fingerprint) for each in (self, other))
        return ours == theirs

    def config_id(self) -> str:
        """Return the hash of the configuration without its seed: equal for replicates."""
        return digest(self.canonical() | ({"data_fingerprint": self.fingerprint} if self.fingerprint else {}))

    def key(self, *, data_fingerprint: str, source_hash: str | None = None) -> str:
        """Return the run's identity: configuration, seed and data; 16 hexadecimal digits.

        Args:
            data_fingerprint: of the training images (`Cifar10.fingerprint`).
            source_hash: of a custom network (`cifar_core.models.source.source_hash`); None for built-in ones.
        """
        identity = {
            "key_version": KEY_VERSION,
            "config": self.canonical(),
            "seed": self.seed,
            "data": data_fingerprint,
        }
        if source_hash is not None:
            identity["source"] = source_hash
        return digest(identity)


def _is_drawn(data: DataConfig) -> bool:
    """Return whether a part of the data set's own validation images is drawn."""
    return data.about is not None and 0 < data.validation_size < data.about.validation_images


def _without_defaults(model: StrictModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)


def _used(values: OptimizerConfig | ScheduleConfig, *, block: str) -> dict[str, Any]:
    used = {"name", *fields_of_kind(block, values.name)}
    return {field: getattr(values, field) for field in type(values).model_fields if field in used}


def _used_without_defaults(values: OptimizerConfig | ScheduleConfig, *, block: str) -> dict[str, Any]:
    used = _used(values, block=block)
    return {field: value for field, value in _without_defaults(values).items() if field in used}


def _scaled(epochs: int, scale: float) -> int:
    return max(1, round(epochs * scale))
