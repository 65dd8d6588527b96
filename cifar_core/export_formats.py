"""The export formats of a trained network: how each is written, loaded and used."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from cifar_core.augment import normalize
from cifar_core.config import TrainingConfig
from cifar_core.device import memory_layout
from cifar_core.errors import ExportError
from cifar_core.evaluation import averaged_logits
from cifar_core.models.build import network_of
from cifar_core.predict import Classifier

FormatName = Literal["state-dict", "torch-export", "onnx"]
INPUT, OUTPUT, BATCH = "pixels", "logits", "batch"
"""Names of a graph's input, output and dynamic dimension."""
ONNX_EXTRA = ("onnx", "onnxscript", "onnxruntime")
ONNX_LIMIT = 2**31
"""Largest ONNX file in bytes (a message of protobuf)."""

Predict = Callable[[Tensor], Tensor]
"""From N×H×H×3 images of uint8 to N×K logits in float32."""


class ExportFormat(Protocol):
    """An export format. An exported network computes in float32 on any device."""

    suffix: str
    normalizes: bool
    """Whether the exported network normalises its input; otherwise the caller does."""

    def require(self) -> dict[str, str]:
        """Return the versions of the packages that it needs besides torch.

        Raises:
            ExportError: a package is not installed; names the command that installs it.
        """

    def encode(self, network: nn.Module, config: TrainingConfig) -> bytes:
        """Return the file's content.

        Args:
            network: on the CPU, in evaluation mode; maps N×3×H×H normalised images to N×K logits.
            config: the configuration that it was trained with.

        Raises:
            ExportError: the network cannot be written in this format.
        """

    def load(self, path: Path, config: TrainingConfig) -> Predict:
        """Return the function that a file computes on a CPU."""

    def usage(self, file: str, config: TrainingConfig) -> tuple[str, ...]:
        """Return lines of Python that load the file as `model`, run in the file's folder."""


class StateDict:
    """The network's weights, for `load_state_dict`."""

    suffix = ".pt"
    normalizes = False

    def require(self) -> dict[str, str]:
        return {}

    def encode(self, network: nn.Module, config: TrainingConfig) -> bytes:
        content = io.BytesIO()
        torch.save(network.state_dict(), content)
        return content.getvalue()

    def load(self, path: Path, config: TrainingConfig) -> Predict:
        # The file of the initial weights may be gone; they are overwritten in any case.
        with torch.random.fork_rng(devices=[]):
            network = network_of(config.without_initial_weights())
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
        # In a classifier's layout on a CPU: another one sums in another order.
        layout = memory_layout(config, torch.device("cpu"), "auto")
        return Classifier(network.to(memory_format=layout), config)

    def usage(self, file: str, config: TrainingConfig) -> tuple[str, ...]:
        is_random = config.model.weights is None and not config.model.pretrained
        block = "config.model" if is_random else "config.without_initial_weights().model"
        if config.data.about is not None:
            block += f", num_classes={config.data.classes}, image_size={config.data.image_size}"
        return (
            "import json, pathlib, torch",
            "from cifar_core import Classifier, TrainingConfig, build_model",
            f"about = json.loads(pathlib.Path({file + '.json'!r}).read_text('utf-8'))",
            "config = TrainingConfig.model_validate(about['config'])",
            f"network = build_model({block})",
            f"network.load_state_dict(torch.load({file!r}, weights_only=True), strict=True)",
            "model = Classifier(network, config)  # normalises its input: model.predict('cat.jpg').label",
        )


class TorchExport:
    """A graph of torch's operations, for `torch.export.load`; it needs torch only."""

    suffix = ".pt2"
    normalizes = True

    def require(self) -> dict[str, str]:
        return {}

    def encode(self, network: nn.Module, config: TrainingConfig) -> bytes:
        content = io.BytesIO()
        with quiet():
            torch.export.save(_traced(network, config), content)
        return content.getvalue()

    def load(self, path: Path, config: TrainingConfig) -> Predict:
        with quiet(), path.open("rb") as file:
            graph = torch.export.load(file).module()
        return lambda images_NHWC: graph(pixels_of(images_NHWC))

    def usage(self, file: str, config: TrainingConfig) -> tuple[str, ...]:
        return ("import torch", f"model = torch.export.load({file!r}).module()  # logits = model(pixels)")


class Onnx:
    """A graph of ONNX's operations, for onnxruntime and other runtimes."""

    suffix = ".onnx"
    normalizes = True

    def require(self) -> dict[str, str]:
        try:
            for package in ONNX_EXTRA:
                importlib.import_module(package)
        except ImportError as error:
            raise ExportError(
                f"the format onnx needs the packages {', '.join(ONNX_EXTRA)} ({error}): "
                "run pip install 'cifar-sweeps[onnx]'"
            ) from error
        return {package: version(package) for package in ONNX_EXTRA}

    def encode(self, network: nn.Module, config: TrainingConfig) -> bytes:
        size = sum(tensor.nbytes for tensor in network.state_dict().values() if isinstance(tensor, Tensor))
        if size >= ONNX_LIMIT:
            raise ExportError(
                f"the network's weights are {size / 1e9:.1f} GB, more than the 2 GB of an ONNX file: "
                "export it as state-dict or torch-export"
            )
        with quiet():
            traced = _traced(network, config)
            try:
                program: Any = torch.onnx.export(
                    traced, dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
                )
                return _as_file(program.model_proto)
            except Exception as error:  # torch.onnx and onnxscript have no common base class of errors
                raise ExportError(
                    f"model {config.model.name!r} contains an operation that cannot be translated to ONNX "
                    f"({_first_line(error.__cause__ or error)}): "
                    "export it as state-dict or torch-export"
                ) from error

    def load(self, path: Path, config: TrainingConfig) -> Predict:
        onnxruntime = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: warnings concern the machine or the speed
        session = onnxruntime.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])
        return lambda images_NHWC: torch.from_numpy(session.run(None, {INPUT: pixels_of(images_NHWC).numpy()})[0])

    def usage(self, file: str, config: TrainingConfig) -> tuple[str, ...]:
        return (
            "import onnxruntime",
            f"model = onnxruntime.InferenceSession({file!r})  # logits = model.run(None, {{{INPUT!r}: pixels}})[0]",
        )


FORMATS: Mapping[FormatName, ExportFormat] = {"state-dict": StateDict(), "torch-export": TorchExport(), "onnx": Onnx()}


class _FromPixels(nn.Module):
    """A network with normalisation and test-time augmentation, as in `Classifier`; its only input is pixels."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, config: TrainingConfig) -> None:
        super().__init__()
        mean, std = config.data.constants
        self.network = network
        self.views = config.test_time_augmentation
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))
        self.eval()

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        # Without this assertion a graph accepts uint8 pixels from 0 to 255 and returns wrong logits.
        torch.ops.aten._assert_tensor_metadata.default(pixels_NCHW, dtype=torch.float32)
        return averaged_logits(self.network, (pixels_NCHW - self.mean) / self.std, over=self.views)


def pixels_of(images_NHWC: Tensor) -> Tensor:
    """Return a graph's input, float32 N×3×H×W in [0, 1], for N×H×W×3 uint8 images."""
    return normalize(images_NHWC, normalization="none")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output, log records and warnings of torch's exporters; errors are exceptions."""
    before = logging.root.manager.disable
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def _traced(network: nn.Module, config: TrainingConfig) -> torch.export.ExportedProgram:
    """Return the network with its normalisation, traced by torch.export for any batch size."""
    exported = _FromPixels(network, config)
    try:
        size = config.data.image_size
        with torch.no_grad():
            # Two images: a batch size of one would be traced as a constant.
            program = torch.export.export(
                exported, (torch.zeros(2, 3, size, size),), dynamic_shapes=({0: torch.export.Dim(BATCH)},)
            )
    except Exception as error:  # of torch's tracer, its symbolic shapes, or the network's own code
        raise ExportError(
            f"torch.export cannot trace model {config.model.name!r} ({_first_line(error)}): its forward must not read "
            "tensor values or the batch size in Python (if, .item(), .numpy(), a loop over the batch). Change it, or "
            "export it as state-dict, which needs no tracing"
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # the paths of files on this machine
    return program


def _as_file(model: Any) -> bytes:
    """Return an ONNX model's bytes, with its dynamic dimension renamed from the tracer's symbol to `batch`."""
    # Intermediate shapes contain that symbol too; runtimes infer them again.
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    content: bytes = model.SerializeToString()
    return content


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('. ')}" if lines else type(error).__name__
