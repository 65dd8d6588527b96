"""The lean network: its whitening stem, its fixed parameters, and images of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_core.augment import normalize
from cifar_core.config import TrainingConfig
from cifar_core.data.load import load_training_images
from cifar_core.data.split import split_train_validation
from cifar_core.models.lean import LeanNet, Whitening
from cifar_core.training import start, train


@pytest.fixture(scope="module", name="inputs_NCHW")
def real_inputs() -> Tensor:
    stored_NHWC = load_training_images(progress=False)[0].images_NHWC[:1000]
    return normalize(torch.from_numpy(np.array(stored_NHWC)), normalization="cifar10")


def test_the_stem_whitens_patches_of_its_images(inputs_NCHW: Tensor) -> None:
    stem = Whitening()
    stem.see_images(inputs_NCHW)

    maps_CP = stem(inputs_NCHW).detach().transpose(0, 1).flatten(1)

    assert maps_CP.shape == (24, 1000 * 31 * 31)
    assert torch.equal(stem.weight[12:], -stem.weight[:12])
    covariance_VV = maps_CP[:12].double().cov()
    off_diagonal = covariance_VV - covariance_VV.diag().diag()
    assert off_diagonal.abs().max() < 1e-3
    # The constant added to each variance matters only for the weakest components.
    assert covariance_VV.diag()[:4] == pytest.approx(torch.ones(4), abs=0.05)
    assert (covariance_VV.diag() < 1.001).all()


def test_without_images_the_stem_keeps_white_noise_white() -> None:
    maps_CP = Whitening()(torch.randn(64, 3, 32, 32)).detach().transpose(0, 1).flatten(1)
    assert maps_CP[:12].cov() == pytest.approx(torch.eye(12), abs=0.05)


@pytest.mark.parametrize("averaging", ["none", "lookahead", "ema"])
def test_training_sets_the_stem_from_the_training_images_and_leaves_it(averaging: str) -> None:
    content = {
        "averaging": averaging,
        "model": {"name": "lean", "width": 8},
        "data": {"train_size": 100, "validation_size": 50, "batch_size": 50, "normalization": "cifar10"},
        "epochs": 3,
    }
    config = TrainingConfig.model_validate(content)
    images, validation = split_train_validation(load_training_images(progress=False)[0], config.data)
    expected = Whitening()
    expected.see_images(normalize(torch.from_numpy(np.array(images.images_NHWC)), normalization="cifar10"))
    state = start(config, train_size=100, device="cpu")
    run = train(config, images, validation, state=state)
    assert isinstance(state.model, LeanNet)
    stem = state.model.features[0]
    assert isinstance(stem, Whitening)

    for _ in run:
        assert torch.allclose(stem.weight, expected.weight, rtol=1e-5, atol=1e-6)
    assert stem.bias.abs().max() > 0


def test_each_convolution_of_a_stage_begins_as_the_identity_on_shared_channels() -> None:
    model = LeanNet(stem="none", width=16)
    images_NCHW = torch.rand(1, 3, 32, 32)
    convolution = model.features[0]
    assert isinstance(convolution, nn.Conv2d)
    assert torch.equal(functional.conv2d(images_NCHW, convolution.weight, padding=1)[:, :3], images_NCHW)


@pytest.mark.parametrize("stem", ["none", "learned", "whitened"])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_images_of_any_size_give_logits(stem: str, size: int) -> None:
    assert LeanNet(stem=stem, width=8)(torch.rand(2, 3, size, size)).shape == (2, 10)


def test_of_a_batch_norm_only_the_shift_is_trained() -> None:
    norms = [layer for layer in LeanNet(width=8).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 6
    assert not any(layer.weight.requires_grad for layer in norms)
    assert all(layer.bias.requires_grad for layer in norms)
