"""The custom code that is uploaded to a cluster: all modules that a network imports, and nothing else."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from cifar_core.config import ModelConfig
from cifar_core.models.source import source_of
from sweeps.backends.cluster.code import connection_options, custom_code_paths
from sweeps.core.errors import SweepError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder on sys.path."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def write(folder: Path, **files: str) -> None:
    """Write modules; `a__b` is b.py in the package a, `a__init` its `__init__.py`."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path = path.with_name("__init__.py") if path.stem == "init" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    importlib.invalidate_caches()


def travelling(network: str) -> set[str]:
    """Return the files of a network, relative to their folders."""
    paths = custom_code_paths(network)
    files = {file: path.parent for path in paths for file in ([path] if path.is_file() else path.rglob("*.*"))}
    return {str(file.relative_to(folder)) for file, folder in files.items()}


def test_imports_of_a_network_are_uploaded_also_those_within_functions(project: Path) -> None:
    own = "import torch, json\nimport blocks_of_mine\ndef f():\n    from late_of_mine import x\n"
    write(project, nets_of_mine=own, blocks_of_mine="import deeper_of_mine", deeper_of_mine="import nets_of_mine")
    write(project, late_of_mine="x = 1", unused_of_mine="raise SystemExit")

    assert travelling("nets_of_mine:Tiny") == {
        "nets_of_mine.py",
        "blocks_of_mine.py",
        "deeper_of_mine.py",
        "late_of_mine.py",
    }


def test_a_package_is_uploaded_with_its_data_and_without_hidden_files(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, pack_of_mine__init="", pack_of_mine__inner__net="from ..other import y\nimport side_of_mine")
    write(project, pack_of_mine__other="y = 1", side_of_mine="")
    (project / "pack_of_mine" / "table.json").write_text("{}", encoding="utf-8")
    for hidden in (".git", "__pycache__"):
        (project / "pack_of_mine" / hidden).mkdir()
        (project / "pack_of_mine" / hidden / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr("os.environ", {})

    sent = connection_options(["pack_of_mine.inner.net:Tiny"])["runtime_env"]

    ours, mine = sent["py_modules"][:2], sent["py_modules"][2:]
    assert [Path(path).name for path in ours] == ["cifar_core", "sweeps"]
    files = set()
    for path in mine:
        create_package(
            path, tmp_path / "sent", False, include_parent_dir=Path(path).is_dir(), excludes=sent["excludes"]
        )
        files |= set(zipfile.ZipFile(tmp_path / "sent").namelist())
        (tmp_path / "sent").unlink()
    package = {"__init__.py", "other.py", "inner/net.py", "table.json"}
    assert files == {f"pack_of_mine/{name}" for name in package} | {"side_of_mine.py"}


def test_all_files_of_the_hash_are_uploaded_from_any_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.syspath_prepend(elsewhere)
    write(elsewhere, far_of_mine="", wide_of_mine__init="", wide_of_mine__part__init="")
    write(project, near_of_mine="import far_of_mine\ndef f(): __import__('wide_of_mine.part')")

    source = source_of(ModelConfig(name="near_of_mine:Tiny"))
    assert source is not None
    assert (
        travelling("near_of_mine:Tiny")
        == set(source.files)
        == {
            "near_of_mine.py",
            "far_of_mine.py",
            "wide_of_mine/__init__.py",
            "wide_of_mine/part/__init__.py",
        }
    )


def test_no_code_is_run(project: Path, tmp_path: Path) -> None:
    write(project, bomb_of_mine=f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)")

    assert travelling("bomb_of_mine:Tiny") == {"bomb_of_mine.py"}
    assert not (tmp_path / "ran").exists()


def test_installed_packages_are_not_uploaded() -> None:
    assert custom_code_paths("torch.nn:Linear") == []
    assert custom_code_paths("json:JSONDecoder") == []
    assert custom_code_paths("cifar_core.models.simple:Simple") == []


def test_code_that_is_no_python_names_the_file(project: Path) -> None:
    write(project, torn_of_mine="def f(:")

    with pytest.raises(SweepError, match=r"torn_of_mine\.py, line 1 is not valid Python"):
        custom_code_paths("torn_of_mine:Tiny")
