"""What the tests of a sweep's start share: none of them trains, unless it is marked so."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_trial_trains(instant_training: None) -> None:
    """See there."""
