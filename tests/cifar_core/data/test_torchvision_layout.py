"""The files that torchvision reads, written from the local images."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from cifar_core.common.errors import DataUnavailableError
from cifar_core.data.load import load_cifar10
from cifar_core.data.torchvision_layout import accept_torchvision_files, write_torchvision_files


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, data = tmp_path_factory.mktemp("torchvision"), load_cifar10(progress=False)
    write_torchvision_files(root, train=data.train, test=data.test)
    return root


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train_list", "test_list", "meta"):
        monkeypatch.setattr(CIFAR10, name, getattr(CIFAR10, name))


@pytest.mark.slow
def test_torchvision_loads_both_parts_and_downloads_nothing(root: Path) -> None:
    accept_torchvision_files(root)
    data = load_cifar10(progress=False)

    for train, part in ((True, data.train), (False, data.test)):
        found = CIFAR10(root, train=train, download=True)
        np.testing.assert_array_equal(found.data, part.images_NHWC)
        assert found.targets == part.labels_N.tolist()
        assert found.classes == list(data.class_names)


def test_other_content_is_refused_and_nothing_in_it_runs(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    with pytest.raises(DataUnavailableError, match="sweeps data --torchvision"):
        accept_torchvision_files(tmp_path)
    for file in (root / folder.name).iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "test_batch").unlink()
    (folder / "test_batch").write_bytes(pickle.dumps(Touch(str(tmp_path / "ran"))))
    with pytest.raises(DataUnavailableError, match="other images"):
        accept_torchvision_files(tmp_path)

    assert not (tmp_path / "ran").exists()


class Touch:
    """The content of a malicious pickle."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(self.path),))  # type: ignore[return-value]
