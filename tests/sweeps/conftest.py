"""What the tests of `sweeps` share."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sweep_fakes import Cli

from sweeps.cli.main import sweeps


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Where a test's sweeps leave everything."""
    return tmp_path / "runs"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a verb in this process. A traceback, which nobody should see, is raised."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def run(*arguments: object, answer: str | None = None) -> Result:
        result = CliRunner().invoke(sweeps, [str(argument) for argument in arguments], input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
