"""What of a user's code travels to a cluster: all that a network imports of its own folder, and nothing else."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from cifar_core.config import ModelConfig
from cifar_core.models import source_of
from sweeps.errors import SweepError
from sweeps.execution import travelling_code
from sweeps.execution.travelling_code import own_code, stage_code, stage_own_code


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder that Python looks into."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def write(folder: Path, **files: str) -> None:
    """Write modules; `a__b` is b.py in the package a, `a__init` its first file."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path = path.with_name("__init__.py") if path.stem == "init" else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    importlib.invalidate_caches()


def staged(folder: Path, *networks: str) -> set[str]:
    folder.mkdir()
    stage_own_code(folder, networks=networks)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_this_projects_packages_travel_without_what_python_compiled(tmp_path: Path) -> None:
    stage_code(tmp_path / "code")

    files = {str(path.relative_to(tmp_path / "code")) for path in (tmp_path / "code").rglob("*") if path.is_file()}
    assert {file.partition("/")[0] for file in files} == {"sweeps", "cifar_core"}
    assert "sweeps/execution/trial.py" in files
    assert any(file.endswith(".css") for file in files), "what lies beside the code, too"
    assert not [file for file in files if "__pycache__" in file or file.endswith(".pyc")]


def test_a_network_brings_what_its_file_imports_of_its_own_folder_also_within_a_function(
    project: Path, tmp_path: Path
) -> None:
    own = "import torch, json\nimport blocks_of_mine\ndef f():\n    from late_of_mine import x\n"
    write(project, nets_of_mine=own, blocks_of_mine="import deeper_of_mine", deeper_of_mine="import nets_of_mine")
    write(project, late_of_mine="x = 1", unused_of_mine="raise SystemExit")

    files = staged(tmp_path / "code", "nets_of_mine:Tiny", "nets_of_mine:Wide")

    assert files == {"nets_of_mine.py", "blocks_of_mine.py", "deeper_of_mine.py", "late_of_mine.py"}


def test_a_package_travels_whole_with_its_data_and_without_what_is_hidden(project: Path, tmp_path: Path) -> None:
    write(project, pack_of_mine__init="", pack_of_mine__inner__net="from ..other import y\nimport side_of_mine")
    write(project, pack_of_mine__other="y = 1", side_of_mine="")
    (project / "pack_of_mine" / "table.json").write_text("{}", encoding="utf-8")
    for hidden in (".git", "__pycache__"):
        (project / "pack_of_mine" / hidden).mkdir()
        (project / "pack_of_mine" / hidden / "file").write_text("", encoding="utf-8")

    files = staged(tmp_path / "code", "pack_of_mine.inner.net:Tiny")

    package = {"__init__.py", "other.py", "inner/net.py", "table.json"}
    assert files == {f"pack_of_mine/{name}" for name in package} | {"side_of_mine.py"}


def test_what_decides_the_hash_travels_from_wherever_it_lies(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.syspath_prepend(elsewhere)
    write(elsewhere, far_of_mine="", wide_of_mine__init="", wide_of_mine__part__init="")
    write(project, near_of_mine="import far_of_mine\ndef f(): __import__('wide_of_mine.part')")

    files = staged(tmp_path / "code", "near_of_mine:Tiny")

    source = source_of(ModelConfig(name="near_of_mine:Tiny"))
    assert source is not None
    assert (
        files
        == set(source.files)
        == {
            "near_of_mine.py",
            "far_of_mine.py",
            "wide_of_mine/__init__.py",
            "wide_of_mine/part/__init__.py",
        }
    )


def test_a_link_that_leads_back_ends(project: Path, tmp_path: Path) -> None:
    write(project, circle_of_mine__init="")
    (project / "circle_of_mine" / "again").symlink_to(project / "circle_of_mine")

    assert staged(tmp_path / "code", "circle_of_mine:Tiny") == {"circle_of_mine/__init__.py"}


def test_nothing_is_run(project: Path, tmp_path: Path) -> None:
    write(project, bomb_of_mine=f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(3)")

    assert staged(tmp_path / "code", "bomb_of_mine:Tiny") == {"bomb_of_mine.py"}
    assert not (tmp_path / "ran").exists()


def test_what_is_installed_stays_where_it_is() -> None:
    assert own_code("torch.nn:Linear") == []
    assert own_code("json:JSONDecoder") == []
    assert own_code("cifar_core.models.simple:Simple") == []


def test_code_that_is_too_large_names_what_is_large(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(travelling_code, "MAX_BYTES", 2_000_000)
    write(project, large_of_mine__init="")
    (project / "large_of_mine" / "weights.pt").write_bytes(bytes(3_000_000))

    with pytest.raises(SweepError, match=r"3\.0 MB in .*large_of_mine, and 2\.0 MB at most.*weights\.pt \(3\.0 MB\)"):
        staged(tmp_path / "code", "large_of_mine:Tiny")


def test_code_that_is_no_python_names_the_file(project: Path, tmp_path: Path) -> None:
    write(project, torn_of_mine="def f(:")

    with pytest.raises(SweepError, match=r"torn_of_mine\.py, line 1 is no Python"):
        staged(tmp_path / "code", "torn_of_mine:Tiny")
