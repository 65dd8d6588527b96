"""What `python -m build` makes holds all that it needs, and runs where nothing else of this project is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from cifar_core.data.load import default_directory

ROOT = Path(__file__).parent.parent
PACKAGES = ("cifar_core", "sweeps")
SWEEP = """\
name: mine
method: random
run_cap: 2
base: {epochs: 1, model: {name: simple}, data: {train_size: 200, validation_size: 100, batch_size: 100}}
parameters: {optimizer.lr: {values: [0.01, 0.1]}}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel from that; of a copy, for setuptools leaves files in the source."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    # Without isolation: setuptools is here, and nothing has to be fetched.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built), str(source)]
    subprocess.run(command, check=True, cwd=built)
    (made,) = built.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_packages_and_the_license(wheel: Path) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        # The stand-in for W&B's client has metadata of its own below the package.
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA") and name.count("/") == 1)
        said = archive.read(metadata).decode("utf-8").partition("\n\n")[0].splitlines()

    assert {name for name in names if name.startswith(tuple(f"{package}/" for package in PACKAGES))} == files
    assert metadata.replace("METADATA", "licenses/LICENSE") in names
    assert {"License-Expression: Apache-2.0", "Author: The cifar-sweeps authors"} <= set(said)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_runs_a_sweep_in_an_empty_folder_and_environment(wheel: Path, tmp_path: Path) -> None:
    place, home, folder = (tmp_path / name for name in ("venv", "home", "empty"))
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    # What the wheel depends on: torch anew would take minutes. A folder named so brings no editable checkout along.
    (site,) = place.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    home.mkdir()
    folder.mkdir()
    (folder / "mine.yaml").write_text(SWEEP, encoding="utf-8")

    def run(*command: object) -> str:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "CIFAR10_DIR": str(default_directory())}
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for package in PACKAGES:
        assert Path(run(python, "-c", f"import {package}; print({package}.__file__)")).is_relative_to(site)
    said = run(place / "bin" / "sweeps", "run", "mine.yaml", "--backend", "inline")

    assert "mine: 2 complete" in said
    assert {line.split()[0] for line in said.splitlines() if line.startswith(" " * 6)} == {"mine-000", "mine-001"}
    assert "Content-Security-Policy" in (folder / "runs" / "reports" / "mine.html").read_text(encoding="utf-8")
