"""Conformance tests of every entry of `OPERATIONS`."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from cifar_core.config import TrainingConfig
from cifar_core.operations.operation import AugmentContext
from cifar_core.operations.registry import OPERATIONS
from cifar_core.recipes import operation_record


def pixels(size: int = 32) -> torch.Tensor:
    return torch.rand(16, size, size, 3, generator=torch.Generator().manual_seed(1))


def context(seed: int = 0) -> AugmentContext:
    return AugmentContext(normalization="cifar10", generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [32, 40])
def test_the_resulting_size_is_the_declared_size(name: str, size: int) -> None:
    operation = OPERATIONS[name].model_validate({})

    changed_NHWC = operation.apply(pixels(size), context())

    side = operation.size_after(size)
    assert changed_NHWC.shape == (16, side, side, 3)
    assert changed_NHWC.dtype == torch.float32


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_seed_gives_one_result(name: str) -> None:
    operation = OPERATIONS[name].model_validate({})

    first, again = (operation.apply(pixels(), context()) for _ in range(2))

    assert torch.equal(first, again)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_operation_draws_from_global_state(name: str) -> None:
    before = torch.random.get_rng_state()
    OPERATIONS[name].model_validate({}).apply(pixels(), context())

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_file_and_a_record_contain_the_complete_operation(name: str) -> None:
    entries = [name] if name == "normalize" else ["normalize", name]
    if OPERATIONS[name].before_normalize:
        entries.reverse()
    ending = ["crop"] if name == "pad" else []
    config = TrainingConfig.model_validate({"data": {"augmentation": [*entries, *ending]}})

    again = TrainingConfig.model_validate_json(config.model_dump_json())

    assert again == config
    assert operation_record(OPERATIONS[name].model_validate({}))["op"] == name


def test_a_configuration_is_read_without_torch() -> None:
    code = "import sys, cifar_core.config, cifar_core.operations; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
