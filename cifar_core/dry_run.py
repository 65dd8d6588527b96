"""A dry run of a configuration: train steps on a few random images, which reveal errors before the run starts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.errors import ModelError, UserError
from cifar_core.common.source import package_version
from cifar_core.common.user_modules import is_import_path, library_of
from cifar_core.config import ModelConfig, TrainingConfig
from cifar_core.models.source import packages

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cifar_core.training import TrainingState

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class DryRunResult:
    """The result of a dry run."""

    fault: str | None = None
    """Why the configuration cannot train; None if no fault was found."""
    warnings: tuple[str, ...] = ()
    """Likely mistakes that do not prevent training."""


def last_batch(config: TrainingConfig) -> int:
    """Return the number of images in the last batch of an epoch."""
    return config.train_images() % config.data.batch_size or config.data.batch_size


def static_fault(config: TrainingConfig) -> str | None:
    """Return why a configuration cannot train, as far as this is known without torch; None if no fault was found."""
    steps = config.epochs * -(-config.train_images() // config.data.batch_size)
    # torch divides by the steps before the peak.
    if config.schedule.name == "one_cycle" and config.schedule.warmup * (steps + 1) == 1:
        return (
            f"schedule one_cycle has too few steps: a warm-up of {config.schedule.warmup:g} of {steps} steps is empty. "
            "Raise epochs, lower data.batch_size, or change schedule.warmup"
        )
    try:
        for package in packages(config.model):
            package_version(package)
    except ModelError as error:
        return f"model {config.model.name!r}: {error}"
    return _fault_of_weights(config.model)


def _fault_of_weights(model: ModelConfig) -> str | None:
    weights = None if is_import_path(model.name) else model.arguments().get("weights")
    if weights is None or Path(weights).expanduser().is_file():
        return None
    if library_of(model.name) == "timm":
        return f"model.weights {weights!r} is no file on this machine. Set model.pretrained for the weights of timm"
    # Names of torchvision's weights are in capitals; their list needs torch.
    if weights.isupper():
        return None
    return (
        f"model.weights {weights!r} is neither a file on this machine nor a name of torchvision's weights such as "
        "IMAGENET1K_V1"
    )


def dry_run(config: TrainingConfig) -> DryRunResult:
    """Build a configuration's network, train it on a few random images on the CPU, and return faults and warnings."""
    if (fault := static_fault(config)) is not None:
        return DryRunResult(fault=fault)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _train_steps(config)
    except UserError as error:
        return DryRunResult(fault=str(error))
    except (Exception, SystemExit) as error:
        return DryRunResult(fault=f"model {config.model.name!r}: its first train step raised {_described(error)}")


def _train_steps(config: TrainingConfig) -> DryRunResult:
    from cifar_core.training import start, train_step

    # A CPU cannot train in float16; faults of a network do not depend on the precision.
    config = config if config.precision != "float16" else config.model_copy(update={"precision": "float32"})
    state = start(config, train_size=config.train_images(), device="cpu")
    name = config.model.name
    found = _warnings_of_output(state.model, config)
    batches = _batches(config)
    for count, inputs_NCHW, labels_N in batches:
        state.model.train()
        is_last = count == 1 and config.data.batch_size > 1
        try:
            if not is_last and (fault := _fault_of_output(state, inputs_NCHW)) is not None:
                return DryRunResult(fault=f"model {name!r}: {fault}")
            train_step(state, inputs_NCHW, labels_N)
        except (Exception, SystemExit) as error:
            if not is_last:
                raise
            return DryRunResult(
                fault=f"model {name!r}: the last batch of an epoch, 1 image ({config.train_images():,} images in "
                f"batches of {config.data.batch_size}), raised {_described(error)}. Change data.batch_size or "
                "data.train_size"
            )
    return DryRunResult(warnings=(*found, *_warnings_of_gradients(state.model, name)))


def _batches(config: TrainingConfig) -> list[tuple[int, Tensor, Tensor]]:
    """Return a batch of two images, one if `batch_size` is 1, and a batch of one if an epoch's last batch has one."""
    import torch

    generator = torch.Generator().manual_seed(0)
    counts = [min(2, config.data.batch_size)] + ([1] if last_batch(config) == 1 < config.data.batch_size else [])
    side = config.image_size(1)
    return [
        (
            count,
            torch.randn(count, 3, side, side, generator=generator),
            torch.randint(0, config.data.classes, (count,), generator=generator),
        )
        for count in counts
    ]


def _fault_of_output(state: TrainingState, inputs_NCHW: Tensor) -> str | None:
    """Return the fault of a network's output in training mode, which may differ from that in evaluation mode."""
    import torch

    from cifar_core.device import autocast

    with torch.random.fork_rng(devices=[]), autocast(state.config, state.device):
        output = state.model(inputs_NCHW)
    if not isinstance(output, torch.Tensor):
        return (
            f"forward returns a {type(output).__name__} in training and logits in evaluation: let it return the logits "
            "alone"
        )
    if output.ndim != 2 or len(output) != len(inputs_NCHW):
        return f"forward returns {tuple(output.shape)} in training, not one logit per image and class"
    if not output.requires_grad:
        return (
            "the output of forward has no gradient, so nothing would be trained: remove .detach(), .data, "
            "torch.no_grad() and conversions to NumPy or Python numbers"
        )
    return None


def _warnings_of_output(model: nn.Module, config: TrainingConfig) -> list[str]:
    """Return a warning where the outputs are probabilities: cross-entropy takes logits."""
    import torch

    if not is_import_path(config.model.name):
        return []
    model.eval()
    side = config.data.image_size
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        outputs_NK = model(torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(0))).float()
    if not bool(((outputs_NK > 0) & (outputs_NK < 1)).all()):
        return []
    sums = outputs_NK.sum(1)
    function = "softmax" if bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3)) else "sigmoid"
    return [
        f"model {config.model.name!r}: its outputs look like those of a {function}, but the loss takes logits and "
        f"applies softmax itself, so the network learns slowly or not at all. Remove the final {function}"
    ]


def _warnings_of_gradients(model: nn.Module, name: str) -> list[str]:
    without = [
        path for path, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    if not without:
        return []
    more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
    return [
        f"model {name!r}: no gradient reaches {', '.join(without[:_NAMED])}{more}, so they are not trained: "
        "forward does not use them, or a .detach() follows them"
    ]


def _described(error: BaseException) -> str:
    return f"sys.exit({error})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
