"""Recorded results that replace a training run, so that no configuration is trained twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from sweeps.core.trial import CompleteResult


class RecordedResults(Protocol):
    """Finds complete results by key."""

    def complete_result(self, key: str) -> CompleteResult | None: ...


class SearchResults:
    """Recorded results for a search, without those on the test images and on a confirmation part."""

    def __init__(self, recorded: RecordedResults) -> None:
        self._recorded = recorded

    def complete_result(self, key: str) -> CompleteResult | None:
        found = self._recorded.complete_result(key)
        return None if found is None else replace(found, test=None, confirm=None)


class ReplicateResults:
    """Recorded results for replicates: those that were measured on the confirmation part, or still can be."""

    def __init__(self, recorded: RecordedResults, *, examples: int, fetch_weights: Callable[[str], bool]) -> None:
        """Wrap recorded results.

        Args:
            recorded: All complete results.
            examples: Examples of the confirmation part; 0 if there is none.
            fetch_weights: As for `LadderResults`.
        """
        self._recorded, self._examples, self._fetch_weights = recorded, examples, fetch_weights

    def complete_result(self, key: str) -> CompleteResult | None:
        found = self._recorded.complete_result(key)
        if found is None:
            return None
        if self._examples and (found.confirm is None or found.confirm.examples != self._examples):
            # The trial continues at the end of the complete checkpoint: it is only measured.
            self._fetch_weights(key)
            return None
        return replace(found, test=None, confirm=found.confirm if self._examples else None)


class LadderResults:
    """Recorded results for a ladder: those that were measured on the test images, or still can be."""

    def __init__(self, recorded: RecordedResults, *, fetch_weights: Callable[[str], bool]) -> None:
        """Wrap recorded results.

        Args:
            recorded: All complete results.
            fetch_weights: Copies the weights of a run to the sweep's checkpoints; returns whether there are any.
        """
        self._recorded = recorded
        self._fetch_weights = fetch_weights

    def complete_result(self, key: str) -> CompleteResult | None:
        found = self._recorded.complete_result(key)
        if found is not None and found.test is None and not self._fetch_weights(key):
            return None
        return found
