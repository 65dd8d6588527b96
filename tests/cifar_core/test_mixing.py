"""Mixup and cutmix: which images are mixed, in which shares, and what the train step makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from cifar_core.config import DataConfig, TrainingConfig
from cifar_core.mixing import mixed
from cifar_core.training import start, train_step

COUNT = 400


def mix(*, seed: int = 0, count: int = COUNT, **alphas: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the partners, the mixed images and the targets; image i has the value i and the class i % 10."""
    images_NCHW = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    generator = torch.Generator().manual_seed(seed)
    inputs_NCHW, targets_NK = mixed(
        images_NCHW, torch.arange(count) % 10, data=DataConfig(**alphas), generator=generator
    )
    partner_N = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return partner_N, inputs_NCHW, targets_NK


def shares(partner_N: Tensor, inputs_NCHW: Tensor) -> Tensor:
    """Return the share of its own image in each mixed image that has another partner."""
    own_N = torch.arange(len(partner_N))
    is_mixed = partner_N != own_N
    mean_N = inputs_NCHW.double().mean((1, 2, 3))
    return ((mean_N - partner_N) / (own_N - partner_N))[is_mixed]


@pytest.mark.parametrize("alphas", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_targets_are_the_shares_of_the_classes_in_an_image(alphas: dict[str, float]) -> None:
    partner_N, inputs_NCHW, targets_NK = mix(**alphas)
    share_N = torch.ones(COUNT).double()
    share_N[partner_N != torch.arange(COUNT)] = shares(partner_N, inputs_NCHW)

    own_NK, other_NK = (functional.one_hot(index_N % 10, 10) for index_N in (torch.arange(COUNT), partner_N))
    expected_NK = share_N[:, None] * own_NK + (1 - share_N[:, None]) * other_NK

    torch.testing.assert_close(targets_NK.double(), expected_NK, rtol=0, atol=2e-4)
    assert (partner_N != torch.arange(COUNT)).sum() > COUNT - 10


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_the_shares_of_mixup_are_beta_distributed(alpha: float) -> None:
    partner_N, inputs_NCHW, _ = mix(mixup=alpha, count=2000)
    assert stats.kstest(shares(partner_N, inputs_NCHW), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_cutmix_replaces_a_rectangle_and_mixup_no_single_pixel() -> None:
    partner_N, cut_NCHW, _ = mix(cutmix=1.0)
    is_other_NHW = cut_NCHW[:, 0] == partner_N.view(-1, 1, 1)
    is_own_NHW = cut_NCHW[:, 0] == torch.arange(COUNT).view(-1, 1, 1)
    assert (is_other_NHW | is_own_NHW).all()
    rows_NH, columns_NW = is_other_NHW.any(2), is_other_NHW.any(1)
    assert torch.equal(is_other_NHW, rows_NH[:, :, None] & columns_NW[:, None, :])
    # A rectangle is without gaps: its rows change from outside to inside at most once.
    for lines in (rows_NH, columns_NW):
        assert (lines[:, 1:] & ~lines[:, :-1]).sum(1).max() <= 1

    _, mixed_NCHW, _ = mix(mixup=1.0)
    assert (mixed_NCHW == mixed_NCHW[:, :1, :1, :1]).all()


def test_the_area_that_cutmix_keeps_is_that_of_the_drawn_boxes() -> None:
    # With uniform shares: a box of side √(1 - λ) · 32 around a uniform centre, cut at the edge.
    partner_N, inputs_NCHW, _ = mix(cutmix=1.0, count=4000)
    generator = torch.Generator().manual_seed(9)
    side = (1 - torch.rand(4000, generator=generator)).sqrt().mul(32).long() // 2
    area = torch.ones(4000)
    for _ in range(2):
        centre = torch.randint(32, (4000,), generator=generator)
        area *= (centre + side).clamp(max=32) - (centre - side).clamp(min=0)

    assert stats.ks_2samp(shares(partner_N, inputs_NCHW), 1 - area / 1024).pvalue > 0.01


def test_with_both_each_image_has_one_of_them() -> None:
    _, inputs_NCHW, _ = mix(mixup=1.0, cutmix=1.0)
    is_even_N = (inputs_NCHW == inputs_NCHW[:, :1, :1, :1]).flatten(1).all(1)
    assert 0.35 < is_even_N.float().mean() < 0.65


def test_off_is_the_batch_itself_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    images_NCHW, labels_N = torch.rand(3, 3, 32, 32), torch.arange(3)

    found = mixed(images_NCHW, labels_N, data=DataConfig(), generator=generator)

    assert found[0] is images_NCHW
    assert found[1] is labels_N
    assert torch.equal(generator.get_state(), before)


def test_one_seed_gives_one_batch_and_another_seed_another() -> None:
    first, again, other = (mix(mixup=0.4, cutmix=1.0, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def config(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"model": {"width": 4}, "optimizer": {"lr": 1e-30}} | changes)


def test_a_prediction_is_correct_if_it_is_the_larger_class() -> None:
    state = start(config(), train_size=4, device="cpu")
    images_NCHW = torch.rand(4, 3, 32, 32)
    predicted_N = state.model(images_NCHW).argmax(1)
    targets_NK = torch.lerp(
        functional.one_hot(predicted_N, 10).float(),
        functional.one_hot((predicted_N + 1) % 10, 10).float(),
        torch.tensor([[0.0], [0.4], [0.6], [1.0]]),
    )

    assert train_step(state, images_NCHW, targets_NK).correct == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_mixed_labels_are_smoothed_as_the_mixture_of_smoothed_labels(precision: str) -> None:
    state = start(config(label_smoothing=0.2, precision=precision), train_size=4, device="cpu")
    images_NCHW, own_N, other_N = torch.rand(4, 3, 32, 32), torch.arange(4), torch.arange(4, 8)
    targets_NK = 0.7 * functional.one_hot(own_N, 10) + 0.3 * functional.one_hot(other_N, 10)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        logits_NK = state.model(images_NCHW).float()
    own, other = (functional.cross_entropy(logits_NK, each, label_smoothing=0.2) for each in (own_N, other_N))

    loss = train_step(state, images_NCHW, targets_NK).loss

    assert loss.item() == pytest.approx((0.7 * own + 0.3 * other).item(), rel=1e-4)
