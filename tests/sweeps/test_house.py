"""The walls of the house: what import-linter cannot see."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FACES = ["cifar_core", "sweeps"]
INITS = [path for face in FACES for path in sorted((ROOT / face).rglob("__init__.py")) if path.parent != ROOT / face]
HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas")
MOST_WORDS = 12
"""Of a test's name; see CONTRIBUTING.md."""


@pytest.mark.parametrize("path", INITS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_package_below_the_two_faces_holds_its_docstring_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


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


def test_no_name_of_a_test_is_longer_than_twelve_words() -> None:
    named = {
        f"{path.name}: {node.name}": len(node.name.removeprefix("test_").split("_"))
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }

    assert [name for name, words in named.items() if words > MOST_WORDS] == []
