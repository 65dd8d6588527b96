"""Copies of custom code: stored as hashed, and compared before the runs are used."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cifar_core.config import ModelConfig, TrainingConfig
from cifar_core.models.source import source_of
from sweeps.core.errors import CodeChangedError
from sweeps.store.kept_code import keep_code, require_same_code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_file_that_changed_since_it_was_hashed_is_not_copied(folder: Path) -> None:
    (folder / "net_kept.py").write_text("import net_kept_part\n", encoding="utf-8")
    (folder / "net_kept_part.py").write_text("x = 1\n", encoding="utf-8")
    source = source_of(ModelConfig(name="net_kept:Net"))
    assert source is not None
    (folder / "net_kept.py").write_text("import net_kept_part  # said\n", encoding="utf-8")
    (folder / "net_kept_part.py").write_text("x = (", encoding="utf-8")

    keep_code(folder / "tiny", source)

    kept = {path.name for path in (folder / "tiny" / "code" / source.hash).iterdir()}
    assert kept == {"net_kept.py", "files.json"}


def test_code_recorded_by_0_5_0_stays_while_its_file_does(folder: Path) -> None:
    file = folder / "net_of_old.py"
    file.write_text("x = 1\n", encoding="utf-8")
    model, old = ModelConfig(name="net_of_old:Net"), hashlib.sha256(b"x = 1\n").hexdigest()[:16]

    require_same_code(TrainingConfig(model=model), old, run="tiny-000", sweep=folder / "tiny")

    file.write_text("x = 2\n", encoding="utf-8")
    with pytest.raises(CodeChangedError, match="tiny-000"):
        require_same_code(TrainingConfig(model=model), old, run="tiny-000", sweep=folder / "tiny")


def test_a_builtin_networks_first_weights_are_needed_only_for_training(folder: Path) -> None:
    (folder / "w.pt").write_bytes(b"1")
    model = ModelConfig(name="torchvision_vgg16", weights="w.pt")
    source = source_of(model)
    assert source is not None
    (folder / "w.pt").unlink()

    require_same_code(TrainingConfig(model=model), source.hash, run="tiny-000", sweep=folder / "tiny", trains=False)

    with pytest.raises(CodeChangedError, match="tiny-000"):
        require_same_code(TrainingConfig(model=model), source.hash, run="tiny-000", sweep=folder / "tiny")
