"""The first and the last train step of an epoch, taken on random images before a run is begun: what would fail."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.errors import UserError
from cifar_core.common.own_modules import is_import_path
from cifar_core.config import TrainingConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cifar_core.training import TrainingState

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What is to be expected of a run."""

    fault: str | None = None
    """Why it cannot train; None where nothing was found."""
    warnings: tuple[str, ...] = ()
    """What looks wrong and yet trains."""


def last_batch(config: TrainingConfig) -> int:
    """Return how many images the last batch of an epoch holds."""
    return config.train_images() % config.data.batch_size or config.data.batch_size


def plain_fault(config: TrainingConfig) -> str | None:
    """Return what keeps a configuration from training as far as it can be told without torch."""
    steps = config.epochs * -(-config.train_images() // config.data.batch_size)
    # torch divides by the steps before the peak.
    if config.schedule.name == "one_cycle" and config.schedule.warmup * (steps + 1) == 1:
        return (
            f"schedule one_cycle has too few steps: of {steps} a warm-up of {config.schedule.warmup:g} is none; "
            "raise epochs, lower data.batch_size, or change schedule.warmup"
        )
    weights = config.model.weights if "weights" in config.model.arguments() else None
    # torchvision's names are in capitals, and it alone knows them all.
    if weights is not None and not weights.isupper() and not Path(weights).expanduser().is_file():
        return f"model.weights {weights!r} is no file here, nor a name of torchvision's such as IMAGENET1K_V1"
    return None


def rehearse(config: TrainingConfig) -> Rehearsal:
    """Return what a run of a configuration would fail with at its start, and what looks wrong in it.

    It builds the network and trains it on a few random images on the CPU; nothing of it is kept.
    """
    if (fault := plain_fault(config)) is not None:
        return Rehearsal(fault=fault)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _rehearsed(config)
    except UserError as error:
        return Rehearsal(fault=str(error))
    except (Exception, SystemExit) as error:
        return Rehearsal(fault=f"model {config.model.name!r}: its first train step raised {_described(error)}")


def _rehearsed(config: TrainingConfig) -> Rehearsal:
    from cifar_core.training import start, train_step

    # A CPU cannot train in float16, and what a network does wrong it does in any precision.
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
                return Rehearsal(fault=f"model {name!r}: {fault}")
            train_step(state, inputs_NCHW, labels_N)
        except (Exception, SystemExit) as error:
            if not is_last:
                raise
            return Rehearsal(
                fault=f"model {name!r}: the last batch of an epoch holds 1 image ({config.train_images():,} images in "
                f"batches of {config.data.batch_size}), and it raised {_described(error)}: change data.batch_size or "
                "data.train_size"
            )
    return Rehearsal(warnings=(*found, *_warnings_of_gradients(state.model, name)))


def _batches(config: TrainingConfig) -> list[tuple[int, Tensor, Tensor]]:
    """Return a batch of two images, or of one where all are; and one of one image where the last batch is."""
    import torch

    generator = torch.Generator().manual_seed(0)
    counts = [min(2, config.data.batch_size)] + ([1] if last_batch(config) == 1 < config.data.batch_size else [])
    side = config.image_size(1)
    return [
        (
            count,
            torch.randn(count, 3, side, side, generator=generator),
            torch.randint(0, 10, (count,), generator=generator),
        )
        for count in counts
    ]


def _fault_of_output(state: TrainingState, inputs_NCHW: Tensor) -> str | None:
    """Return what is wrong with what a network gives in training, which may be another thing than in evaluation."""
    import torch

    from cifar_core.device import autocast

    with torch.random.fork_rng(devices=[]), autocast(state.config, state.device):
        output = state.model(inputs_NCHW)
    if not isinstance(output, torch.Tensor):
        return (
            f"in training its forward gives a {type(output).__name__}, in evaluation logits: let it return the logits "
            "alone"
        )
    if output.ndim != 2 or len(output) != len(inputs_NCHW):
        return f"in training its forward gives {tuple(output.shape)}, not one logit for each image and class"
    if not output.requires_grad:
        return (
            "what its forward gives has no gradient, so that nothing would be trained: take out .detach(), .data, "
            "torch.no_grad() or whatever leaves torch"
        )
    return None


def _warnings_of_output(model: nn.Module, config: TrainingConfig) -> list[str]:
    """Return a warning where the outputs are probabilities: cross-entropy takes logits."""
    import torch

    if not is_import_path(config.model.name):
        return []
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        outputs_NK = model(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))).float()
    if not bool(((outputs_NK > 0) & (outputs_NK < 1)).all()):
        return []
    sums = outputs_NK.sum(1)
    what = "softmax" if bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3)) else "sigmoid"
    return [
        f"model {config.model.name!r}: its outputs look like those of a {what}: the loss takes logits and applies "
        f"softmax itself, so it learns slowly or not at all; leave the {what} at its end out"
    ]


def _warnings_of_gradients(model: nn.Module, name: str) -> list[str]:
    without = [
        path for path, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    if not without:
        return []
    more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
    return [
        f"model {name!r}: no gradient reaches {', '.join(without[:_NAMED])}{more}, so that they stay as they are: "
        "forward does not use them, or a .detach() lies behind them"
    ]


def _described(error: BaseException) -> str:
    return f"sys.exit({error})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
