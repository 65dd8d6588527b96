"""What the tests of a sweep's start share: none of them trains, unless it is marked so."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_trial_trains(instant_training: None) -> None:
    """See there."""


@pytest.fixture
def no_logged_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store no winner as a model in MLflow, which takes seconds and is tested in `test_saving.py`."""
    monkeypatch.setattr("sweeps.use.winner.log_winner", lambda *_, **__: None)
