"""Fixtures of the driver's tests. Only tests with the mark `trains` train."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_trial_trains(instant_training: None) -> None:
    """See there."""
