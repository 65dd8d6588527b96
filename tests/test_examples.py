"""The example training functions keep every promise, where their library is installed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.driver.check import Verdict, check_of_file

EXAMPLES = Path(__file__).parents[1] / "examples"
MOST_LINES = 60
LIBRARIES = {
    "logistic": "numpy",
    "forest": "sklearn",
    "network": "torch",
    "boosting": "xgboost",
    "lightning": "lightning",
    "keras": "keras",
}
"""Example to its library."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the examples, in which a person works."""
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy)
    monkeypatch.chdir(copy)
    monkeypatch.syspath_prepend(str(copy))
    yield copy
    for name in [path.stem for path in copy.glob("*.py")]:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "name", [name if name == "logistic" else pytest.param(name, marks=pytest.mark.slow) for name in LIBRARIES]
)
def test_an_example_keeps_every_promise(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip(LIBRARIES[name])

    lines = list(check_of_file(folder / f"{name}.yaml", epochs=2).run())

    assert [f"{line.title}: {line.text}" for line in lines if line.verdict is Verdict.FAILED] == []
    assert len(lines) == 8


def test_each_example_is_short_and_listed_with_its_library() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(LIBRARIES)
    for path in files:
        assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES, path.name
        assert f"`{path.name}`" in page
