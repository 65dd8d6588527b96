"""Looking into a network: its layers with their sizes and their work, and what they make of one image.

Hooks hear what each layer gives. They are gone when a function returns, and the network is as it was: its weights, its
statistics, its mode, and torch's random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cifar_core.augment import normalize
from cifar_core.common.errors import ModelError
from cifar_core.image_file import SIZE, ImageSource, read_image
from cifar_core.predict import Classifier

_MAPPED_HOMES = tuple(f"torch.nn.modules.{home}" for home in ("conv", "pooling", "activation"))
_Hook = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer as the network computes it; of one that is computed several times, a record each time."""

    name: str
    """Its path in the network, such as `features.0`; empty for a network that is one layer."""
    kind: str
    """Its class, such as `Conv2d`."""
    output_shape: tuple[int, ...] | None
    """For one image, without the batch; of several tensors the first one's; None for a layer that was not called, or
    gives no tensor."""
    parameters: int
    """Numbers that are trained or could be: weights and biases. Those that are shared, or of a layer that is computed
    several times, count once, where they are met first."""
    multiply_adds: int | None
    """Of one image, for convolutions and products of matrices, without biases; None where there are none."""
    parameter_bytes: int
    activation_bytes: int
    """Memory of the output for one image; 0 where it is the input's own, as of `Flatten` or `ReLU(inplace=True)`."""

    @property
    def is_uncounted(self) -> bool:
        """Whether a layer that is computed has parameters and work without `multiply_adds`, normalisation aside."""
        is_computed = self.output_shape is not None
        return is_computed and self.parameters > 0 and self.multiply_adds is None and "Norm" not in self.kind


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureMap:
    """What one layer made of one image."""

    name: str
    """Its path in the network, such as `features.0`; with ` (2)` where it is the second time."""
    kind: str
    values_CHW: npt.NDArray[np.float32]


def layer_table(network: nn.Module, *, image_shape: Sequence[int] = (3, SIZE, SIZE)) -> list[Layer]:
    """Return the layers of a network in the order in which it computes them, measured on a batch of ones.

    A layer is a module without modules in it, or one with parameters of its own. Those that are never computed come
    last. Multiply-adds are half of what torch counts as operations. What a network does beside its modules (`x + y`,
    `functional.relu`) is not heard.

    Args:
        network: on any device. Of a `Classifier` the network in it.
        image_shape: of one image, without the batch.

    Raises:
        ModelError: the network cannot compute a batch of ones of this shape.
    """
    network = _bare(network)
    calls: list[tuple[str, nn.Module, tuple[int, ...] | None, int | None, int]] = []
    counter = FlopCounterMode(display=False)
    begun: list[int] = []
    counted = 0

    def begin(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        begun.append(counter.get_total_flops() - counted)

    def hear(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal counted
        # Since it began, without what a layer within it was counted for.
        operations = counter.get_total_flops() - counted - begun.pop()
        counted += operations
        if isinstance(output, tuple | list) and output:
            output = output[0]  # as of attention and recurrent layers
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
        calls.append((name, module, shape, operations // 2 or None, _new_bytes(inputs, output)))

    modules = {name: module for name, module in network.named_modules() if _is_layer(module)}
    ones = torch.ones(1, *image_shape, device=_device(network))
    with _hooked(modules, hear, begin=begin), counter:
        _compute(network, ones)
    computed = {id(module) for _, module, *_ in calls}
    never = [(name, module, None, None, 0) for name, module in modules.items() if id(module) not in computed]
    seen: set[int] = set()
    table = []
    for name, module, shape, multiply_adds, activation_bytes in [*calls, *never]:
        own = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in seen]
        seen.update(map(id, own))
        table.append(
            Layer(
                name=name,
                kind=type(module).__name__,
                output_shape=shape,
                parameters=sum(parameter.numel() for parameter in own),
                multiply_adds=multiply_adds,
                parameter_bytes=sum(parameter.numel() * parameter.element_size() for parameter in own),
                activation_bytes=activation_bytes,
            )
        )
    return table


def feature_maps(network: nn.Module, image: ImageSource, *, normalization: str = "none") -> list[FeatureMap]:
    """Return what each convolution, pooling and activation makes of an image, in the order of computing.

    Only modules are heard, and only what they give as C×H×W: an activation behind a `Linear` has no map.

    Args:
        network: on any device; a `Classifier`, or a bare network.
        image: of any mode and size, as `read_image` takes it.
        normalization: of a bare network; a `Classifier` knows its own.

    Raises:
        ImageError: it is no image that can be read.
        ModelError: the network cannot compute it.
    """
    images_NHWC = torch.from_numpy(read_image(image)[None].copy()).to(_device(network))
    bare = _bare(network)
    found: list[FeatureMap] = []
    times: dict[str, int] = {}

    def hear(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        times[name] = times.get(name, 0) + 1
        named = name if times[name] == 1 else f"{name} ({times[name]})"
        # Copied: a ReLU that works in place writes over the output of the convolution before it.
        values_CHW = output.detach()[0].float().cpu().clone(memory_format=torch.contiguous_format).numpy()
        found.append(FeatureMap(name=named, kind=type(module).__name__, values_CHW=values_CHW))

    modules = {name: module for name, module in bare.named_modules() if _has_maps(module)}
    with _hooked(modules, hear):
        if isinstance(network, Classifier):
            _compute(network, images_NHWC)
        else:
            _compute(network, normalize(images_NHWC, normalization=normalization))
    return found


def _bare(network: nn.Module) -> nn.Module:
    return network.network if isinstance(network, Classifier) else network


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False))


def _has_maps(module: nn.Module) -> bool:
    return any(kind.__module__ in _MAPPED_HOMES for kind in type(module).__mro__)


def _device(network: nn.Module) -> torch.device:
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _hooked(modules: dict[str, nn.Module], hear: _Hook, *, begin: _Hook | None = None) -> Iterator[None]:
    """Let `hear` know what each module gives, and `begin` what it is given, until the block ends.

    Raises:
        ModelError: a module takes no hooks, as one that is compiled by TorchScript.
    """
    handles = []
    try:
        for name, module in modules.items():
            try:
                handles.append(module.register_forward_hook(partial(hear, name)))
                if begin is not None:
                    handles.append(module.register_forward_pre_hook(partial(begin, name)))
            except RuntimeError as error:
                raise ModelError(f"{name or 'the network'} cannot be looked into: {error}") from error
        yield
    finally:
        for handle in handles:
            handle.remove()


def _compute(network: nn.Module, inputs: Tensor) -> None:
    """Compute once as in evaluation: no gradient, no statistics, no dropout."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            network(inputs)
    except Exception as error:
        raise ModelError(
            f"the network cannot compute a batch of shape {tuple(inputs.shape)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        # One by one: a part may have been put into another mode than the whole.
        for module, training in modes.items():
            module.training = training


def _new_bytes(inputs: tuple[Any, ...], output: Any) -> int:
    """Return the memory of an output, 0 where it lies in that of an input."""
    if not isinstance(output, Tensor):
        return 0
    address = output.untyped_storage().data_ptr()
    if any(isinstance(each, Tensor) and each.untyped_storage().data_ptr() == address for each in inputs):
        return 0
    return output.numel() * output.element_size()
