"""The walls of the house: what import-linter cannot see."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.name for path in (ROOT / "sweeps").iterdir() if (path / "__init__.py").is_file())
FACES = ["cifar_core", "sweeps", *(f"sweeps.{room}" for room in ROOMS if room != "cli")]
HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas")


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reaches_past_the_face_of_another_room(path: Path) -> None:
    room = path.relative_to(ROOT / "sweeps").parts[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [node.module.split(".") for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    past = [name for name in imported if name[0] == "sweeps" and len(name) > 2 and name[1] in ROOMS and name[1] != room]

    assert past == []


@pytest.mark.parametrize("face", FACES)
def test_every_name_of_a_face_is_there_and_no_module_hides_it(face: str) -> None:
    package = importlib.import_module(face)
    for submodule in (ROOT / face.replace(".", "/")).glob("*.py"):
        if submodule.stem != "__init__":
            importlib.import_module(f"{face}.{submodule.stem}")

    hidden = [name for name in package.__all__ if type(getattr(package, name)).__name__ == "module"]

    assert hidden == []
    is_lazy = "__getattr__" in vars(package)
    assert sorted(dir(package)) == sorted(package.__all__) or not is_lazy


@pytest.mark.parametrize("face", FACES)
def test_a_face_has_a_docstring_and_costs_nothing_until_it_is_used(face: str) -> None:
    code = f"import sys, {face}; assert {face}.__doc__; sys.exit(' '.join(set({HEAVY!r}) & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)

    assert process.stderr.strip() == ""
