"""Which recorded results stand for a training, so that nothing is trained twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sweeps.core.trial import CompleteResult


class RecordedResults(Protocol):
    """Finds complete results by key, so that nothing that is recorded is trained again."""

    def complete_result(self, key: str) -> CompleteResult | None: ...


class SearchResults:
    """Recorded results as a search may take them over: it never gets to know those on the test images."""

    def __init__(self, recorded: RecordedResults) -> None:
        self._recorded = recorded

    def complete_result(self, key: str) -> CompleteResult | None:
        found = self._recorded.complete_result(key)
        return None if found is None else replace(found, test=None)


class LadderResults:
    """Recorded results as a ladder may take them over: each was measured on the test images, or still can be."""

    def __init__(self, recorded: RecordedResults, *, bring_weights: Callable[[str], bool]) -> None:
        """Find nothing yet.

        Args:
            recorded: every complete result.
            bring_weights: brings a run's weights to where they are measured; returns whether there are any.
        """
        self._recorded = recorded
        self._bring_weights = bring_weights

    def complete_result(self, key: str) -> CompleteResult | None:
        found = self._recorded.complete_result(key)
        if found is not None and found.test is None and not self._bring_weights(key):
            return None
        return found
