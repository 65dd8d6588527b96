"""Fixtures for the tests of backends, which use the instant training unless marked `trains`."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_trial_trains(instant_training: None) -> None:
    """See there."""
