"""Inspection of a network: its layers with output shapes, parameters and multiply-adds, and its feature maps.

Forward hooks record the output of each layer and are removed before a function returns. The network's weights,
statistics and mode, and torch's random numbers, are unchanged.
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

_MAP_MODULES = tuple(f"torch.nn.modules.{name}" for name in ("conv", "pooling", "activation"))
_Hook = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One call of a layer; a layer that is called several times has several records."""

    name: str
    """Its path in the network, such as `features.0`; empty for a network that is one layer."""
    kind: str
    """Its class, such as `Conv2d`."""
    output_shape: tuple[int, ...] | None
    """For one image, without the batch dimension; of several tensors that of the first. None for a layer that was not
    called, or whose output is not a tensor."""
    parameters: int
    """Number of weights and biases, trainable or not. Shared ones, and those of a layer that is called several times,
    are counted at their first occurrence only."""
    multiply_adds: int | None
    """For one image, of convolutions and matrix products, without biases; None where there are none."""
    parameter_bytes: int
    activation_bytes: int
    """Memory of the output for one image; 0 where it shares the input's, as for `Flatten` or `ReLU(inplace=True)`."""

    @property
    def is_uncounted(self) -> bool:
        """Return whether a called layer, other than a normalisation, has parameters but no `multiply_adds`."""
        is_called = self.output_shape is not None
        return is_called and self.parameters > 0 and self.multiply_adds is None and "Norm" not in self.kind


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureMap:
    """The output of one layer for one image."""

    name: str
    """Its path in the network, such as `features.0`; followed by ` (2)` for the layer's second call."""
    kind: str
    values_CHW: npt.NDArray[np.float32]


def layer_table(network: nn.Module, *, image_shape: Sequence[int] = (3, SIZE, SIZE)) -> list[Layer]:
    """Return the layers of a network in the order of their calls, measured on a batch of ones.

    A layer is a module without submodules, or one with direct parameters. Layers that are never called come last.
    Multiply-adds are half of torch's count of operations. Computations outside modules (`x + y`, `functional.relu`)
    are not counted.

    Args:
        network: on any device; a `Classifier` is replaced by its network.
        image_shape: of one image, without the batch dimension.

    Raises:
        ModelError: the network cannot compute a batch of ones of this shape.
    """
    network = _unwrapped(network)
    calls: list[tuple[str, nn.Module, tuple[int, ...] | None, int | None, int]] = []
    counter = FlopCounterMode(display=False)
    at_start: list[int] = []
    counted = 0

    def before(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        at_start.append(counter.get_total_flops() - counted)

    def after(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal counted
        # Since the layer's start, without the operations that were counted for layers inside it.
        operations = counter.get_total_flops() - counted - at_start.pop()
        counted += operations
        if isinstance(output, tuple | list) and output:
            output = output[0]  # of attention and recurrent layers
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
        calls.append((name, module, shape, operations // 2 or None, _new_bytes(inputs, output)))

    modules = {name: module for name, module in network.named_modules() if _is_layer(module)}
    ones = torch.ones(1, *image_shape, device=_device(network))
    with _hooked(modules, after, before=before), counter:
        _compute(network, ones)
    called = {id(module) for _, module, *_ in calls}
    uncalled = [(name, module, None, None, 0) for name, module in modules.items() if id(module) not in called]
    counted_ids: set[int] = set()
    table = []
    for name, module, shape, multiply_adds, activation_bytes in [*calls, *uncalled]:
        direct = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in counted_ids]
        counted_ids.update(map(id, direct))
        table.append(
            Layer(
                name=name,
                kind=type(module).__name__,
                output_shape=shape,
                parameters=sum(parameter.numel() for parameter in direct),
                multiply_adds=multiply_adds,
                parameter_bytes=sum(parameter.numel() * parameter.element_size() for parameter in direct),
                activation_bytes=activation_bytes,
            )
        )
    return table


def feature_maps(network: nn.Module, image: ImageSource, *, normalization: str = "none") -> list[FeatureMap]:
    """Return the outputs of each convolution, pooling and activation for an image, in the order of their calls.

    Only outputs of modules with the shape C×H×W are included: an activation after a `Linear` has no map.

    Args:
        network: on any device; a `Classifier`, or the network alone.
        image: of any mode and size, see `read_image`.
        normalization: for a network alone; a `Classifier` has its normalization.

    Raises:
        ImageError: the image cannot be read.
        ModelError: the network cannot compute it.
    """
    pixels_HWC = network.read(image) if isinstance(network, Classifier) else read_image(image)
    images_NHWC = torch.from_numpy(pixels_HWC[None].copy()).to(_device(network))
    found: list[FeatureMap] = []
    times: dict[str, int] = {}

    def after(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        times[name] = times.get(name, 0) + 1
        named = name if times[name] == 1 else f"{name} ({times[name]})"
        # Copied: an in-place ReLU overwrites the output of the convolution before it.
        values_CHW = output.detach()[0].float().cpu().clone(memory_format=torch.contiguous_format).numpy()
        found.append(FeatureMap(name=named, kind=type(module).__name__, values_CHW=values_CHW))

    modules = {name: module for name, module in _unwrapped(network).named_modules() if _has_maps(module)}
    with _hooked(modules, after):
        if isinstance(network, Classifier):
            _compute(network, images_NHWC)
        else:
            _compute(network, normalize(images_NHWC, normalization=normalization))
    return found


def _unwrapped(network: nn.Module) -> nn.Module:
    return network.network if isinstance(network, Classifier) else network


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False))


def _has_maps(module: nn.Module) -> bool:
    return any(kind.__module__ in _MAP_MODULES for kind in type(module).__mro__)


def _device(network: nn.Module) -> torch.device:
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


@contextmanager
def _hooked(modules: dict[str, nn.Module], after: _Hook, *, before: _Hook | None = None) -> Iterator[None]:
    """Call `after`, and `before`, with each module's name around its forward, until the block ends.

    Raises:
        ModelError: a module accepts no hooks, for example one that is compiled by TorchScript.
    """
    handles = []
    try:
        for name, module in modules.items():
            try:
                handles.append(module.register_forward_hook(partial(after, name)))
                if before is not None:
                    handles.append(module.register_forward_pre_hook(partial(before, name)))
            except RuntimeError as error:
                raise ModelError(f"{name or 'the network'} cannot be inspected: {error}") from error
        yield
    finally:
        for handle in handles:
            handle.remove()


def _compute(network: nn.Module, inputs: Tensor) -> None:
    """Run the network once in evaluation mode: without gradients, updates of statistics, and dropout."""
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
        # One by one: submodules may differ in mode.
        for module, training in modes.items():
            module.training = training


def _new_bytes(inputs: tuple[Any, ...], output: Any) -> int:
    """Return the bytes of an output, 0 where it shares the memory of an input."""
    if not isinstance(output, Tensor):
        return 0
    address = output.untyped_storage().data_ptr()
    if any(isinstance(each, Tensor) and each.untyped_storage().data_ptr() == address for each in inputs):
        return 0
    return output.numel() * output.element_size()
