"""The page for people who work in a notebook is run, block by block, as written; with real Ray."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

# The page trains a sweep, and other tests run beside it.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(660)]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial" / "notebook.md"


def test_every_block_of_the_page_runs_in_order(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )

    assert len(blocks) == 9
    assert done.returncode == 0, done.stderr
    *_, predicted, first, second = done.stdout.strip().splitlines()
    assert re.fullmatch(r"[a-z]+ \d+%", predicted)
    assert re.fullmatch(r"1 \d+\.\d% [\d,]+ images/s", first)
    assert second.startswith("2 ")
    assert "notebook-00" in done.stdout
    assert "bayes search, at most 3 trials" in done.stdout, "the sweep shows its space"
    assert "The best is trial" in done.stdout, "the result ends with its verdict"
    assert (tmp_path / "runs" / "mlflow.db").exists()
    assert (tmp_path / "runs" / "reports" / "notebook.html").exists()
